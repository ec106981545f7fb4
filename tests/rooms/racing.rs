//! Concurrent requests: no interleaving seats a seventh member, charges twice or loses a sequence number.

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::harness::{Person, TestApp};

/// How many responses have each status, such as `[(201, 5), (409, 11)]`.
fn tally(statuses: impl IntoIterator<Item = u16>) -> Vec<(u16, usize)> {
    let mut tally = std::collections::BTreeMap::new();
    for status in statuses {
        *tally.entry(status).or_default() += 1;
    }
    tally.into_iter().collect()
}

#[tokio::test]
async fn five_of_sixteen_prime_users_who_race_for_a_room_join_its_creator() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let names: Vec<_> = (0..16).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.prime(name))).await;
    let answers = join_all(guests.iter().map(|guest| guest.joins(room))).await;
    for answer in &answers {
        assert!(answer.status == 201 || answer.json["code"] == "room_full", "{}", answer.json);
    }
    assert_eq!(tally(answers.iter().map(|answer| answer.status)), [(201, 5), (409, 11)]);
    let members = ann.get(&format!("/api/rooms/{room}/members")).await.ok();
    assert_eq!(members["members"].as_array().unwrap().len(), 6);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_user_with_150_coins_who_joins_five_rooms_concurrently_gets_and_pays_for_one() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 150).await);
    bob.joins(ann.opens_a_room().await).await.created();
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(ann.opens_a_room().await);
    }
    let answers = join_all(rooms.iter().map(|&room| bob.joins(room))).await;
    assert_eq!(tally(answers.iter().map(|answer| answer.status)), [(201, 1), (402, 4)]);
    assert_eq!(bob.coins().await, 0);
    let sums: Vec<i64> =
        app.rows(&format!("SELECT SUM(delta) FROM coin_ledger WHERE user_id = '{}'", bob.user_id)).await;
    assert_eq!(sums, [0]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn eight_concurrent_joins_of_one_user_seat_and_charge_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 1000).await);
    bob.joins(ann.opens_a_room().await).await.created();
    let room = ann.opens_a_room().await;
    let answers = join_all((0..8).map(|_| bob.joins(room))).await;
    assert_eq!(tally(answers.iter().map(|answer| answer.status)), [(200, 7), (201, 1)]);
    assert_eq!(bob.coins().await, 850);
    assert_eq!(ann.reads(room).await.len(), 1);
    app.invariants_hold().await;
}

#[tokio::test]
async fn leaving_while_joining_again_without_the_password_ends_outside_the_room() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    for _ in 0..20 {
        bob.joins(room).await.created();
        let without_password = bob.post("/api/joinroom", json!({"roomId": room}));
        let (left, joined) = tokio::join!(bob.leaves(room), without_password);
        left.no_content();
        assert!(joined.status == 200 || joined.json["code"] == "wrong_room_password", "{}", joined.json);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_new_user_who_joins_three_rooms_concurrently_gets_one_free() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 1000).await);
    let rooms = [ann.opens_a_room().await, ann.opens_a_room().await, ann.opens_a_room().await];
    let answers = join_all(rooms.iter().map(|&room| bob.joins(room))).await;
    let mut charged: Vec<_> =
        answers.into_iter().map(|answer| answer.created()["charged"].as_i64().unwrap()).collect();
    charged.sort_unstable();
    assert_eq!(charged, [0, 150, 150]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn sends_that_race_with_joins_and_leaves_meet_no_deadlock() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let names: Vec<_> = (0..4).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.prime(name))).await;
    let mut socket = ann.connect().await;
    let by_frame = async {
        for number in 0..50 {
            socket.send("sendMessage", json!({"roomId": room, "content": format!("frame {number}")})).await;
        }
        let mut acks = 0;
        while acks < 50 {
            let frame = socket.receive().await;
            assert_ne!(frame["event"], "error", "{frame}");
            acks += usize::from(frame["event"] == "ack");
        }
    };
    let by_rest = join_all((0..4).map(|_| async {
        for number in 0..15 {
            ann.says(room, &format!("post {number}")).await.created();
        }
    }));
    let in_and_out = join_all(guests.iter().map(|guest| async {
        for _ in 0..10 {
            guest.joins(room).await.created();
            guest.says(room, "here I am").await.created();
            guest.leaves(room).await.no_content();
        }
    }));
    tokio::join!(by_frame, by_rest, in_and_out);
    let last: Vec<u64> = app.rows(&format!("SELECT last_seq FROM rooms WHERE id = {room}")).await;
    assert_eq!(last, [50 + 60 + 4 * 10 * 3]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn seats_coins_and_sequence_numbers_are_consistent_after_random_actions() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(ann.opens_a_room().await);
    }
    let mut people = vec![ann];
    for number in 0..8 {
        people.push(app.rich(&format!("guest{number}"), random.random_range(0..500)).await);
    }
    for _ in 0..12 {
        let acts: Vec<_> = (0..12)
            .map(|_| {
                let person = &people[random.random_range(0..people.len())];
                let room = rooms[random.random_range(0..rooms.len())];
                let choice = random.random_range(0..4);
                async move {
                    match choice {
                        0 => person.leaves(room).await,
                        1 => person.says(room, "anybody?").await,
                        _ => person.joins(room).await,
                    }
                }
            })
            .collect();
        for answer in join_all(acts).await {
            assert!(answer.status < 500, "{}", answer.json);
        }
        app.invariants_hold().await;
    }
}
