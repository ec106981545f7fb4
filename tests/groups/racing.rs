//! Concurrent requests: no interleaving seats a 257th member, or one member twice.

use futures_util::future::join_all;
use serde_json::json;

use super::{add, fill};
use crate::harness::{Person, TestApp};

#[tokio::test]
async fn one_of_twelve_users_added_concurrently_gets_the_256th_seat() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    app.run(
        "UPDATE room_members SET role = 'moderator' WHERE room_id = ? AND user_id = ?",
        (group, &bob.user_id),
    )
    .await;
    fill(&app, group, &ann, 253).await;
    let names: Vec<_> = (0..12).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.user(name))).await;
    let answers = join_all(guests.iter().enumerate().map(|(number, guest)| {
        let asker = if number % 2 == 0 { &ann } else { &bob };
        add(asker, group, guest)
    }))
    .await;
    let mut seated = 0;
    for answer in answers {
        match answer.status {
            200 => seated += 1,
            _ => drop(answer.refused(409, "room_full")),
        }
    }
    let counts: Vec<(u32, u64)> =
        app.rows(&format!("SELECT member_count, last_seq FROM rooms WHERE id = {group}")).await;
    assert_eq!((seated, counts), (1, vec![(256, 1)]));
    app.invariants_hold().await;
}

#[tokio::test]
async fn eight_concurrent_additions_of_one_user_seat_them_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[]).await;
    let mut bobs = bob.connect().await;
    for answer in join_all((0..8).map(|_| add(&ann, group, &bob))).await {
        assert_eq!(answer.ok()["group"]["memberCount"], 2);
    }
    assert_eq!(bob.reads(group).await, [(1, "joined".to_owned())]);
    bobs.receives("addedToGroup").await;
    bobs.receives("userJoined").await;
    bobs.has_nothing().await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn additions_that_race_with_leaves_and_frames_lose_no_sequence_number() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.groups(&[]).await;
    let names: Vec<_> = (0..5).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.user(name))).await;
    let mut socket = ann.connect().await;
    let by_frame = async {
        for number in 0..40 {
            socket.send("groupMessage", json!({"groupId": group, "content": number.to_string()})).await;
        }
        let mut acks = 0;
        while acks < 40 {
            let frame = socket.receive().await;
            assert_ne!(frame["event"], "error", "{frame}");
            acks += usize::from(frame["event"] == "ack");
        }
    };
    let in_and_out = join_all(guests.iter().map(|guest| async {
        for _ in 0..8 {
            add(&ann, group, guest).await.ok();
            guest.says(group, "here I am").await.created();
            guest.leaves(group).await.no_content();
        }
    }));
    tokio::join!(by_frame, in_and_out);
    let last: Vec<u64> = app.rows(&format!("SELECT last_seq FROM rooms WHERE id = {group}")).await;
    assert_eq!(last, [40 + 5 * 8 * 3]);
    app.invariants_hold().await;
}
