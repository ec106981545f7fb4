use std::collections::HashMap;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::harness::TestApp;

#[tokio::test]
async fn a_users_ledger_is_listed_newest_first_in_pages() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 300).await);
    bob.joins(ann.opens_a_room().await).await.created();
    let (second, third) = (ann.opens_a_room().await, ann.opens_a_room().await);
    bob.joins(second).await.created();
    bob.joins(third).await.created();
    let page = bob.get("/api/coins?pageSize=2").await.ok();
    let rows = |page: &Value| -> Vec<Value> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| json!([row["delta"], row["balanceAfter"], row["reason"], row["roomId"]])).collect()
    };
    assert_eq!(
        rows(&page),
        [json!([-150, 0, "room_entry", third]), json!([-150, 150, "room_entry", second])]
    );
    assert_eq!((&page["total"], &page["pages"], &page["currentPage"]), (&json!(3), &json!(2), &json!(1)));
    let page = bob.get("/api/coins?pageSize=2&page=2").await.ok();
    assert_eq!(rows(&page), [json!([300, 300, "signup", null])]);
    // A user who has never had coins has an empty ledger, and nobody sees that of another.
    assert_eq!(
        ann.get("/api/coins").await.ok(),
        json!({"total": 0, "pages": 0, "currentPage": 1, "data": []})
    );
    assert_eq!(ann.get("/api/coins?page=-1&pageSize=0").await.wrong_fields(), ["page", "pageSize"]);
}

#[tokio::test]
async fn ledgers_and_balances_agree_after_random_grants_and_purchases() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start().await;
    let admin = app.prime("admin").await;
    app.run("UPDATE users SET role = 'admin' WHERE user_id = ?", (&admin.user_id,)).await;
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(admin.opens_a_room().await);
    }
    let mut people = Vec::new();
    for number in 0..4 {
        people.push(app.rich(&format!("guest{number}"), random.random_range(0..400)).await);
    }
    // The accepted grants by key: the same grant must be accepted again, and no other with its key.
    let mut granted: HashMap<(usize, u32), (i64, bool)> = HashMap::new();
    for _ in 0..10 {
        let acts: Vec<_> = (0..12)
            .map(|_| {
                let who = random.random_range(0..people.len());
                let (person, admin) = (&people[who], &admin);
                let room = rooms[random.random_range(0..rooms.len())];
                let choice = random.random_range(0..4);
                // There are few keys and amounts, so that some grants are repeated and some keys reused.
                let key = random.random_range(0..40_u32);
                let delta = [-400, -150, -1, 1, 150, 1_000_000_000][random.random_range(0..6)];
                async move {
                    match choice {
                        0 => (None, person.joins(room).await),
                        1 => (None, person.leaves(room).await),
                        _ => {
                            let grant = json!({"coins": {"delta": delta, "reason": "luck", "idempotencyKey": key.to_string()}});
                            let answer = admin.patch(&format!("/api/users/{}", person.user_id), grant).await;
                            (Some(((who, key), delta)), answer)
                        }
                    }
                }
            })
            .collect();
        for (grant, answer) in join_all(acts).await {
            assert!(answer.status < 500, "{}", answer.json);
            let Some((key, delta)) = grant else { continue };
            if answer.status == 200 {
                let (first, _) = *granted.entry(key).or_insert((delta, true));
                assert_eq!(first, delta, "one key has one amount");
            }
        }
        app.invariants_hold().await;
    }
    for (number, person) in people.iter().enumerate() {
        let sum_of = |kind: &str| {
            format!(
                "SELECT CAST(COALESCE(SUM(delta), 0) AS SIGNED) FROM coin_ledger WHERE user_id = '{}' AND reason = '{kind}'",
                person.user_id
            )
        };
        let expected: i64 =
            granted.iter().filter(|((who, _), _)| *who == number).map(|(_, (delta, _))| delta).sum();
        assert_eq!(app.rows::<i64>(&sum_of("luck")).await, [expected], "each accepted grant counts once");
        let all = person.get("/api/coins?pageSize=100").await.ok();
        let sum: i64 = all["data"].as_array().unwrap().iter().map(|row| row["delta"].as_i64().unwrap()).sum();
        assert_eq!(sum, person.coins().await);
    }
}
