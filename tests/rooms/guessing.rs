//! `PASSWORD_LIMIT` for room passwords, 10 failures in 10 minutes: docs/contract.md, "Rate limits".

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Answer, Person, TestApp};

async fn guesses(person: &Person, room: u64) -> Answer {
    person.post("/api/joinroom", json!({"roomId": room, "password": "open, please"})).await
}

#[tokio::test]
async fn after_ten_wrong_passwords_even_the_right_one_is_refused_for_this_room_and_user() {
    let app = TestApp::start().await;
    let (ann, mallory, bob) = (app.prime("ann").await, app.prime("mallory").await, app.user("bob").await);
    let (room, other) = (ann.opens_a_room().await, ann.opens_a_room().await);
    for _ in 0..10 {
        guesses(&mallory, room).await.refused(403, "wrong_room_password");
    }
    let limited = mallory.joins(room).await;
    let header = |name: &str| limited.headers[name].to_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((header("ratelimit-limit"), header("ratelimit-remaining")), (10, 0));
    assert!((1..=600).contains(&header("retry-after")));
    assert_eq!(header("retry-after"), header("ratelimit-reset"));
    limited.refused(429, "rate_limited");
    let mut socket = mallory.connect().await;
    let entry = json!({"roomId": room, "password": "open sesame"});
    let problem = socket.refused("joinRoom", entry, "rate_limited").await;
    assert!((1..=600).contains(&problem["retryAfter"].as_u64().unwrap()));

    mallory.joins(other).await.created();
    bob.joins(room).await.created();
    // An invitation needs no password.
    let invited = ann.invites(room, &mallory).await.created();
    mallory.redeems(invited["inviteToken"].as_str().unwrap()).await.created();
}

#[tokio::test]
async fn ten_of_fifty_concurrent_wrong_passwords_are_checked() {
    let app = TestApp::start().await;
    let (ann, mallory) = (app.prime("ann").await, app.prime("mallory").await);
    let room = ann.opens_a_room().await;
    let answers = join_all((0..50).map(|_| guesses(&mallory, room))).await;
    let count = |code: &str| answers.iter().filter(|answer| answer.json["code"] == code).count();
    assert_eq!((count("wrong_room_password"), count("rate_limited")), (10, 40));
}

#[tokio::test]
async fn a_right_password_does_not_count() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    for _ in 0..9 {
        guesses(&bob, room).await.refused(403, "wrong_room_password");
    }
    for _ in 0..3 {
        bob.joins(room).await.created();
        bob.leaves(room).await.no_content();
    }
    guesses(&bob, room).await.refused(403, "wrong_room_password");
    bob.joins(room).await.refused(429, "rate_limited");
    // A join without a password is not an attempt.
    bob.post("/api/joinroom", json!({"roomId": room})).await.refused(403, "wrong_room_password");
}

#[tokio::test]
async fn wrong_passwords_for_inviting_and_joining_are_counted_together() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let (room, other) = (ann.opens_a_room().await, ann.opens_a_room().await);
    let invitation = json!({"roomId": room, "password": "open, please", "userId": eve.user_id});
    for _ in 0..6 {
        ann.post("/api/invite", invitation.clone()).await.refused(403, "wrong_room_password");
    }
    ann.leaves(room).await.no_content();
    for _ in 0..4 {
        guesses(&ann, room).await.refused(403, "wrong_room_password");
    }
    ann.joins(room).await.refused(429, "rate_limited");
    let anew = ann.opens_a_room().await;
    for _ in 0..10 {
        let invitation = json!({"roomId": anew, "password": "open, please", "userId": eve.user_id});
        ann.post("/api/invite", invitation).await.refused(403, "wrong_room_password");
    }
    ann.invites(anew, &eve).await.refused(429, "rate_limited");
    ann.invites(other, &eve).await.created();
}

#[tokio::test]
async fn the_right_password_is_accepted_again_after_ten_minutes() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    for _ in 0..10 {
        guesses(&bob, room).await.refused(403, "wrong_room_password");
    }
    let earlier = "UPDATE rate_limits SET tally = tally - ? * 1048576 WHERE name = 'room_password'";
    app.run(earlier, (590_000_u64,)).await;
    bob.joins(room).await.refused(429, "rate_limited");
    app.run(earlier, (10_000_u64,)).await;
    bob.joins(room).await.created();
}

#[tokio::test]
async fn without_a_limit_every_password_is_checked() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "0")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    for _ in 0..12 {
        guesses(&bob, room).await.refused(403, "wrong_room_password");
    }
    bob.joins(room).await.created();
}
