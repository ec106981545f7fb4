use futures_util::future::join_all;
use serde_json::json;

use super::fill;
use crate::harness::{Person, TestApp};

#[tokio::test]
async fn a_channel_can_be_joined_by_frame_and_by_rest() {
    let app = TestApp::start().await;
    let (ann, bob, cat) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("cat").await);
    let channel = ann.makes_a_channel("General").await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let ack = bobs.acked("joinRoom", json!({"roomId": channel.to_string(), "userId": bob.user_id})).await;
    assert_eq!((&ack["charged"], &ack["room"]["memberCount"]), (&json!(0), &json!(2)));
    cat.post("/api/joinroom", json!({"roomId": channel})).await.created();
    for person in [&bob, &cat] {
        assert_eq!(anns.receives("userJoined").await["userId"], person.user_id);
    }
}

#[tokio::test]
async fn one_of_eight_users_who_race_for_the_last_of_a_thousand_seats_gets_it() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let channel = ann.makes_a_channel("General").await;
    fill(&app, channel, &ann, 998).await;
    let names: Vec<_> = (0..8).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.foreigner(name))).await;
    let mut sockets = join_all(guests.iter().take(4).map(Person::connect)).await;
    let by_frame = join_all(sockets.iter_mut().map(|socket| async {
        // Joins of other guests may be pushed before the answer.
        let reference = socket.send("joinRoom", json!({"roomId": channel})).await;
        loop {
            let frame = socket.receive().await;
            if frame["ref"] == reference {
                return (frame["event"] == "ack", frame);
            }
        }
    }));
    let by_rest = join_all(guests.iter().skip(4).map(|guest| async {
        let answer = guest.post("/api/joinroom", json!({"roomId": channel})).await;
        (answer.status == 201, json!({"data": answer.json}))
    }));
    let (by_frame, by_rest) = tokio::join!(by_frame, by_rest);
    let outcomes: Vec<_> = by_frame.into_iter().chain(by_rest).collect();
    assert_eq!(outcomes.iter().filter(|(joined, _)| *joined).count(), 1);
    for (_, refusal) in outcomes.iter().filter(|(joined, _)| !joined) {
        assert_eq!(refusal["data"]["code"], "room_full", "{refusal}");
    }
    app.invariants_hold().await;
}
