//! Slow mode: docs/contract.md, "Slow mode".

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Answer, Person, TestApp};
use crate::uploads::PNG;

/// A slow room that Ann owns, with the moderator Mia and the members Bob and Cid.
async fn slow_room(app: &TestApp, seconds: u64) -> ([Person; 4], u64) {
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut people = vec![ann];
    for name in ["mia", "bob", "cid"] {
        let person = app.user(name).await;
        person.joins(room).await.created();
        people.push(person);
    }
    people[0].appoints(room, &people[1], "moderator").await.ok();
    people[0].changes(room, json!({"slowModeSeconds": seconds})).await.ok();
    (people.try_into().unwrap_or_else(|_| unreachable!()), room)
}

/// Checks that a send is refused because of slow mode, and returns the seconds that are left.
#[track_caller]
fn seconds_left(answer: Answer) -> u64 {
    let headers = ["retry-after", "ratelimit-reset", "ratelimit-limit", "ratelimit-remaining"]
        .map(|name| answer.headers[name].to_str().unwrap().parse::<u64>().unwrap());
    let left = answer.refused(429, "slow_mode")["retryAfter"].as_u64().unwrap();
    assert_eq!(headers, [left, left, 1, 0]);
    left
}

#[tokio::test]
async fn members_send_once_in_so_many_seconds_by_rest_by_frame_and_as_files() {
    let app = TestApp::start().await;
    let ([ann, mia, bob, cid], room) = slow_room(&app, 600).await;
    let other = bob.groups(&[&cid]).await;
    let posted = bob.posts_file(&app, room, "image/png", PNG).await["uploadId"].as_str().unwrap().to_owned();
    let complete = format!("/uploads/{posted}/complete");
    let mut bobs = bob.connect().await;
    bobs.acked("sendMessage", json!({"roomId": room, "content": "one"})).await;
    assert!((590..=600).contains(&seconds_left(bob.says(room, "two").await)));
    let refusal = bobs.refused("sendMessage", json!({"roomId": room, "content": "two"}), "slow_mode").await;
    assert!((590..=600).contains(&refusal["retryAfter"].as_u64().unwrap()));
    seconds_left(bob.sends_file(room, "map.png", "image/png", PNG).await);
    seconds_left(bob.post(&complete, json!({})).await);
    // A file begins a pause too, and each member has their own.
    cid.sends_file(room, "map.png", "image/png", PNG).await.created();
    seconds_left(cid.says(room, "two").await);
    bob.says(other, "elsewhere").await.created();
    for person in [&ann, &mia] {
        for content in ["one", "two"] {
            person.says(room, content).await.created();
        }
        person.sends_file(room, "map.png", "image/png", PNG).await.created();
    }
    // Nothing that is refused takes a number.
    let last = ann.last_message(room).await["seq"].as_u64().unwrap();
    assert_eq!(last, 3 + 1 + 1 + 1 + 2 * 3);
    ann.changes(room, json!({"slowModeSeconds": 0})).await.ok();
    for content in ["two", "three"] {
        bob.says(room, content).await.created();
    }
    bob.post(&complete, json!({})).await.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_pause_does_not_keep_from_repeating_and_editing_and_a_refused_message_begins_none() {
    let app = TestApp::start().await;
    let ([_, _, bob, _], room) = slow_room(&app, 600).await;
    let reply = json!({"roomId": room, "content": "one", "replyTo": format!("{room}-99")});
    assert_eq!(bob.post("/api/messages", reply).await.wrong_fields(), ["replyTo"]);
    let message = json!({"roomId": room, "content": "one", "clientMessageId": "1"});
    let sent = bob.post("/api/messages", message.clone()).await.created();
    assert_eq!(bob.post("/api/messages", message).await.ok(), sent);
    let path = format!("/api/messages/{}", sent["message"]["messageId"].as_str().unwrap());
    bob.patch(&path, json!({"content": "two"})).await.ok();
    let other = json!({"roomId": room, "content": "other", "clientMessageId": "2"});
    let left = seconds_left(bob.post("/api/messages", other).await);
    // Neither does leaving shorten it.
    bob.leaves(room).await.no_content();
    bob.joins(room).await.created();
    assert!(seconds_left(bob.says(room, "back").await) <= left);
}

#[tokio::test]
async fn of_many_concurrent_messages_of_a_member_one_is_sent() {
    let app = TestApp::start().await;
    let ([_, _, bob, cid], room) = slow_room(&app, 600).await;
    let (bobs, cids) = tokio::join!(
        join_all((0..12).map(|_| bob.says(room, "me first"))),
        join_all((0..12).map(|_| cid.says(room, "no, me")))
    );
    for answers in [bobs, cids] {
        let (sent, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(sent.len(), 1);
        refused.into_iter().for_each(|answer| _ = seconds_left(answer));
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn those_who_may_change_a_channel_are_exempt_in_it() {
    let app = TestApp::start().await;
    let (ann, bob, eve) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("eve").await);
    for (person, role) in [(&ann, "admin"), (&bob, "moderator"), (&eve, "user")] {
        app.set_role(person, role).await;
    }
    let channel = ann.makes_a_channel("General").await;
    for person in [&bob, &eve] {
        person.post("/api/joinroom", json!({"roomId": channel})).await.created();
    }
    bob.changes(channel, json!({"slowModeSeconds": 600})).await.ok();
    for content in ["one", "two"] {
        ann.says(channel, content).await.created();
        bob.says(channel, content).await.created();
    }
    eve.says(channel, "one").await.created();
    seconds_left(eve.says(channel, "two").await);
    // Roles of the organization count in channels alone.
    let group = eve.groups(&[&bob]).await;
    eve.changes(group, json!({"slowModeSeconds": 600})).await.ok();
    bob.says(group, "one").await.created();
    seconds_left(bob.says(group, "two").await);
}

#[tokio::test]
async fn a_pause_ends_after_its_seconds_or_after_those_of_now_if_they_are_fewer() {
    let app = TestApp::start().await;
    let ([ann, _, bob, _], room) = slow_room(&app, 600).await;
    let passes = async |seconds: u64| {
        let sql = "UPDATE rate_limits SET tally = tally - ((? * 1000) << 20) WHERE name = 'slow'";
        app.run(sql, (seconds,)).await;
    };
    bob.says(room, "one").await.created();
    passes(500).await;
    assert!((90..=100).contains(&seconds_left(bob.says(room, "two").await)));
    // More seconds are not for those who wait already, and fewer are.
    for (seconds, left) in [(3600, 90..=100), (510, 1..=10)] {
        ann.changes(room, json!({"slowModeSeconds": seconds})).await.ok();
        let seconds = seconds_left(bob.says(room, "two").await);
        assert!(left.contains(&seconds), "{seconds}");
    }
    ann.changes(room, json!({"slowModeSeconds": 499})).await.ok();
    bob.says(room, "two").await.created();
    assert!((490..=499).contains(&seconds_left(bob.says(room, "three").await)));
    passes(499).await;
    bob.says(room, "three").await.created();
}

#[tokio::test]
async fn several_messages_at_once_pause_as_long_as_one_by_one() {
    let app = TestApp::start().await;
    let ([_, _, bob, _], room) = slow_room(&app, 600).await;
    let several = json!({"roomId": room, "messages": [{"content": "one"}, {"content": "two"}]});
    bob.post("/api/messages/batch", several.clone()).await.created();
    assert!((1190..=1200).contains(&seconds_left(bob.post("/api/messages/batch", several).await)));
}
