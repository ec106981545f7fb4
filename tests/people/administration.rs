use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

/// An admin and a user, alone in an organization.
async fn admin_and_user(app: &TestApp) -> [Person; 2] {
    let (ann, bob) = (app.user("ann").await, app.rich("bob", 100).await);
    app.organization(&[&ann, &bob]).await;
    make_admin(app, &ann).await;
    [ann, bob]
}

async fn make_admin(app: &TestApp, person: &Person) {
    app.run("UPDATE users SET role = 'admin' WHERE user_id = ?", (&person.user_id,)).await;
}

async fn change(admin: &Person, user: &Person, change: Value) -> Answer {
    admin.patch(&format!("/api/users/{}", user.user_id), change).await
}

async fn me(person: &Person) -> Value {
    person.get("/api/profile/me").await.ok()
}

fn coins(delta: i64, key: &str) -> Value {
    json!({"coins": {"delta": delta, "reason": "prize of the quiz", "idempotencyKey": key}})
}

#[tokio::test]
async fn an_admin_can_change_role_prime_and_coins_and_gets_the_public_profile() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    let all = json!({
        "role": "moderator", "prime": true,
        "coins": {"delta": 50, "reason": "prize of the quiz", "idempotencyKey": "quiz"}
    });
    let seen = change(&ann, &bob, all).await.ok();
    assert_eq!(seen, ann.get(&format!("/api/profile/{}", bob.user_id)).await.ok());
    assert_eq!((&seen["role"], &seen["prime"]), (&json!("moderator"), &json!(true)));
    assert!(seen.get("availCoins").is_none());
    let bob_sees = me(&bob).await;
    assert_eq!((&bob_sees["role"], &bob_sees["availCoins"]), (&json!("moderator"), &json!(150)));
    // Omitted fields stay.
    let seen = change(&ann, &bob, json!({"prime": false, "role": null})).await.ok();
    assert_eq!((&seen["role"], &seen["prime"]), (&json!("moderator"), &json!(false)));
    assert_eq!(change(&ann, &bob, json!({})).await.ok(), seen);
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_admin_who_changes_themselves_gets_their_own_profile() {
    let app = TestApp::start().await;
    let [ann, _] = admin_and_user(&app).await;
    let seen = change(&ann, &ann, coins(50, "mine")).await.ok();
    assert_eq!((&seen["availCoins"], &seen["friendship"]), (&json!(50), &Value::Null));
}

#[tokio::test]
async fn a_grant_is_stored_with_its_reason_and_the_admin_who_made_it() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    change(&ann, &bob, coins(-30, "fine")).await.ok();
    let newest = &bob.get("/api/coins").await.ok()["data"][0];
    assert_eq!(
        (&newest["delta"], &newest["balanceAfter"], &newest["reason"], &newest["roomId"]),
        (&json!(-30), &json!(70), &json!("prize of the quiz"), &Value::Null)
    );
    let given: Vec<(Vec<u8>, Option<String>)> = app
        .rows(&format!(
            "SELECT idempotency_key, granted_by FROM coin_grants WHERE user_id = '{}'",
            bob.user_id
        ))
        .await;
    assert_eq!(given, [(b"fine".to_vec(), Some(ann.user_id))]);
}

#[tokio::test]
async fn non_admins_are_refused_whatever_an_old_token_says() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    let eve = app.user("eve").await;
    app.organization(&[&ann, &bob, &eve]).await;
    for role in ["user", "moderator"] {
        app.run("UPDATE users SET role = ? WHERE user_id = ?", (role, &bob.user_id)).await;
        for user in [&eve, &bob] {
            change(&bob, user, json!({"role": "admin"})).await.refused(403, "role_required");
            change(&bob, user, coins(5, "five")).await.refused(403, "role_required");
        }
    }
    // The token says that Bob is an admin, but he no longer is.
    make_admin(&app, &bob).await;
    let login = json!({"userId": bob.user_id, "password": format!("{}'s password", bob.user_id)});
    let bob = Person::new(&app, &app.post("/api/auth/login", login).await.ok());
    change(&ann, &bob, json!({"role": "user"})).await.ok();
    change(&bob, &eve, json!({"prime": true})).await.refused(403, "role_required");
    assert_eq!((&me(&eve).await["role"], &me(&eve).await["prime"]), (&json!("user"), &json!(false)));
}

#[tokio::test]
async fn an_unknown_user_or_one_of_another_organization_is_not_found() {
    let app = TestApp::start().await;
    let [ann, _] = admin_and_user(&app).await;
    let zoe = app.user("zoe").await;
    let unknown =
        ann.patch("/api/users/nobody", json!({"role": "admin"})).await.refused(404, "user_not_found");
    let foreign = change(&ann, &zoe, json!({"role": "admin"})).await.refused(404, "user_not_found");
    assert_eq!(unknown, foreign);
    change(&ann, &zoe, coins(5, "five")).await.refused(404, "user_not_found");
    assert_eq!((&me(&zoe).await["role"], &me(&zoe).await["availCoins"]), (&json!("user"), &json!(0)));
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together_including_those_of_coins() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    let wrong = json!({"role": "king", "prime": "yes", "coins": {"delta": 0, "reason": "", "idempotencyKey": "x".repeat(65)}});
    assert_eq!(
        change(&ann, &bob, wrong).await.wrong_fields(),
        ["coins.delta", "coins.idempotencyKey", "coins.reason", "prime", "role"]
    );
    for (coins, names) in [
        (json!({}), vec!["coins.delta", "coins.idempotencyKey", "coins.reason"]),
        (json!(5), vec!["coins"]),
        (json!({"delta": 1.5, "reason": "a\nb", "idempotencyKey": "k"}), vec!["coins.delta", "coins.reason"]),
        (json!({"delta": 1.0, "reason": " \u{200b}", "idempotencyKey": "k"}), vec!["coins.reason"]),
        (
            json!({"delta": 1_000_000_001, "reason": "r", "idempotencyKey": ""}),
            vec!["coins.delta", "coins.idempotencyKey"],
        ),
        (
            json!({"delta": -1_000_000_001, "reason": "x".repeat(65), "idempotencyKey": "k"}),
            vec!["coins.delta", "coins.reason"],
        ),
        (json!({"delta": "5", "reason": "r", "idempotencyKey": "k"}), vec!["coins.delta"]),
    ] {
        let answer = change(&ann, &bob, json!({"role": "moderator", "coins": coins})).await;
        assert_eq!(answer.wrong_fields(), names, "{coins}");
    }
    assert_eq!(ann.patch("/api/users/me", json!({})).await.wrong_fields(), ["userId"]);
    assert_eq!(me(&bob).await["role"], "user");
}

#[tokio::test]
async fn the_last_admin_cannot_be_demoted() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    for role in ["moderator", "user"] {
        change(&ann, &ann, json!({"role": role, "prime": true})).await.refused(409, "last_admin");
    }
    assert_eq!((&me(&ann).await["role"], &me(&ann).await["prime"]), (&json!("admin"), &json!(false)));
    change(&ann, &ann, json!({"role": "admin"})).await.ok();
    change(&ann, &bob, json!({"role": "admin"})).await.ok();
    change(&ann, &ann, json!({"role": "user"})).await.ok();
    change(&bob, &bob, json!({"role": "user"})).await.refused(409, "last_admin");
}

#[tokio::test]
async fn an_admin_of_another_organization_does_not_make_the_last_admin_dispensable() {
    let app = TestApp::start().await;
    let [ann, _] = admin_and_user(&app).await;
    let zoe = app.user("zoe").await;
    make_admin(&app, &zoe).await;
    change(&ann, &ann, json!({"role": "user"})).await.refused(409, "last_admin");
}

#[tokio::test]
async fn of_two_admins_who_demote_each_other_concurrently_one_stays_admin() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        let (ann, bob) = (app.register(json!({})).await, app.register(json!({})).await);
        app.organization(&[&ann, &bob]).await;
        make_admin(&app, &ann).await;
        make_admin(&app, &bob).await;
        let demote = || json!({"role": "user"});
        let (by_ann, by_bob) = tokio::join!(change(&ann, &bob, demote()), change(&bob, &ann, demote()));
        let (done, refused) = if by_ann.status == 200 { (by_ann, by_bob) } else { (by_bob, by_ann) };
        done.ok();
        refused.refused(403, "role_required");
    }
}

#[tokio::test]
async fn of_two_admins_who_resign_concurrently_one_stays_admin() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        let (ann, bob) = (app.register(json!({})).await, app.register(json!({})).await);
        app.organization(&[&ann, &bob]).await;
        make_admin(&app, &ann).await;
        make_admin(&app, &bob).await;
        let resign = || json!({"role": "user"});
        let (ann_does, bob_does) = tokio::join!(change(&ann, &ann, resign()), change(&bob, &bob, resign()));
        let (done, refused) =
            if ann_does.status == 200 { (ann_does, bob_does) } else { (bob_does, ann_does) };
        done.ok();
        refused.refused(409, "last_admin");
    }
}

#[tokio::test]
async fn with_closed_grants_only_the_operator_can_change_coins_and_prime() {
    let app = TestApp::with(&[("SIGNUP_GRANTS", "closed")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    make_admin(&app, &ann).await;
    for extra in [json!({"prime": true}), json!({"prime": false}), coins(5, "five")] {
        let mut both = extra.clone();
        both["role"] = json!("moderator");
        for body in [extra, both] {
            let problem = change(&ann, &bob, body).await.refused(403, "role_required");
            assert!(problem["detail"].as_str().unwrap().contains("the operator"), "{problem}");
        }
    }
    let bob_sees = me(&bob).await;
    assert_eq!(
        (&bob_sees["role"], &bob_sees["prime"], &bob_sees["availCoins"]),
        (&json!("user"), &json!(false), &json!(0))
    );
    change(&ann, &bob, json!({"role": "moderator"})).await.ok();
}

#[tokio::test]
async fn a_repeated_grant_changes_nothing_and_another_with_its_key_is_refused() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    for _ in 0..3 {
        change(&ann, &bob, coins(50, "quiz")).await.ok();
    }
    let other_reason = json!({"coins": {"delta": 50, "reason": "another", "idempotencyKey": "quiz"}});
    for other in [coins(51, "quiz"), coins(-50, "quiz"), other_reason] {
        let mut with_role = other.clone();
        with_role["role"] = json!("moderator");
        change(&ann, &bob, other).await.refused(409, "idempotency_key_reused");
        change(&ann, &bob, with_role).await.refused(409, "idempotency_key_reused");
    }
    assert_eq!((&me(&bob).await["availCoins"], &me(&bob).await["role"]), (&json!(150), &json!("user")));
    // Keys compare byte for byte, and are per user.
    for key in ["Quiz", "quiz ", "quíz"] {
        change(&ann, &bob, coins(1, key)).await.ok();
    }
    change(&ann, &ann, coins(50, "quiz")).await.ok();
    assert_eq!((&me(&bob).await["availCoins"], &me(&ann).await["availCoins"]), (&json!(153), &json!(50)));
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_repeated_grant_succeeds_even_if_it_would_now_be_refused() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    for _ in 0..2 {
        change(&ann, &bob, coins(-100, "all")).await.ok();
    }
    assert_eq!(me(&bob).await["availCoins"], 0);
}

#[tokio::test]
async fn eight_concurrent_equal_grants_give_coins_once() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    for answer in join_all((0..8).map(|_| change(&ann, &bob, coins(50, "quiz")))).await {
        answer.ok();
    }
    assert_eq!(me(&bob).await["availCoins"], 150);
    assert_eq!(bob.get("/api/coins").await.ok()["total"], 2);
    app.invariants_hold().await;
}

#[tokio::test]
async fn nobody_can_take_more_coins_than_there_are() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    let mut with_role = coins(-101, "fine");
    with_role["role"] = json!("moderator");
    let problem = change(&ann, &bob, with_role).await.refused(402, "insufficient_coins");
    assert_eq!((&problem["required"], &problem["available"]), (&json!(101), &json!(100)));
    assert_eq!((&me(&bob).await["availCoins"], &me(&bob).await["role"]), (&json!(100), &json!("user")));
    // A refused grant does not use up its key.
    change(&ann, &bob, coins(-100, "fine")).await.ok();
    app.invariants_hold().await;
}

#[tokio::test]
async fn nobody_can_have_more_than_a_billion_coins() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    assert_eq!(change(&ann, &bob, coins(1_000_000_000, "all")).await.wrong_fields(), ["coins.delta"]);
    change(&ann, &bob, coins(999_999_900, "all")).await.ok();
    assert_eq!(change(&ann, &bob, coins(1, "more")).await.wrong_fields(), ["coins.delta"]);
    assert_eq!(me(&bob).await["availCoins"], 1_000_000_000);
    change(&ann, &bob, coins(-1_000_000_000, "none")).await.ok();
    app.invariants_hold().await;
}

#[tokio::test]
async fn one_of_eight_concurrent_grants_that_take_all_coins_succeeds() {
    let app = TestApp::start().await;
    let [ann, bob] = admin_and_user(&app).await;
    let keys: Vec<_> = (0..8).map(|number| format!("fine {number}")).collect();
    let answers = join_all(keys.iter().map(|key| change(&ann, &bob, coins(-100, key)))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 402, 402, 402, 402, 402, 402, 402]);
    app.invariants_hold().await;
}
