use serde_json::json;

use super::fill;
use crate::harness::{Person, TestApp};

/// Two members of a room, and the room, whose last sequence number is 5.
async fn room_of_two(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    for number in 2..=5 {
        ann.says(room, &number.to_string()).await.created();
    }
    (ann, bob, room)
}

async fn position(app: &TestApp, room: u64, person: &Person) -> u64 {
    let sql = format!(
        "SELECT read_seq FROM room_members WHERE room_id = {room} AND user_id = '{}'",
        person.user_id
    );
    app.rows(&sql).await[0]
}

#[tokio::test]
async fn a_read_position_moves_forward_and_is_pushed_to_all_other_sockets_of_the_members() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs, mut bobs_other) =
        (ann.connect().await, bob.connect().await, bob.connect().await);
    let steps = [
        (json!({"roomId": room, "seq": 2}), 2),
        (json!({"roomId": room.to_string(), "seq": "3", "userId": bob.user_id}), 3),
        (json!({"messageId": format!("{room}-4")}), 4),
        (json!({"roomId": room, "messageId": format!("{room}-5")}), 5),
    ];
    for (data, seq) in steps {
        assert_eq!(bobs.acked("readMessage", data).await, json!({"roomId": room, "readSeq": seq}));
        for socket in [&mut anns, &mut bobs_other] {
            let received = socket.receives("messageRead").await;
            assert_eq!(received, json!({"roomId": room, "userId": bob.user_id, "readSeq": seq}));
        }
        assert_eq!(position(&app, room, &bob).await, seq);
    }
    bobs.has_nothing().await;
    // It does not count as a change of the room.
    assert_eq!(ann.get(&format!("/chats/{room}")).await.ok()["lastSeq"], 5);
    assert_eq!(position(&app, room, &ann).await, 0);
}

#[tokio::test]
async fn a_read_position_never_goes_back_and_is_pushed_only_when_it_moves() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    bobs.acked("readMessage", json!({"roomId": room, "seq": 4})).await;
    anns.receives("messageRead").await;
    for seq in [4, 3, 0] {
        let ack = bobs.acked("readMessage", json!({"roomId": room, "seq": seq})).await;
        assert_eq!(ack["readSeq"], 4);
    }
    anns.has_nothing().await;
}

#[tokio::test]
async fn a_read_position_never_passes_the_last_sequence_number() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let ack = bobs.acked("readMessage", json!({"roomId": room, "seq": u64::MAX})).await;
    assert_eq!(ack["readSeq"], 5);
    assert_eq!(anns.receives("messageRead").await["readSeq"], 5);
    // The position was at the end already, so it did not move.
    bobs.acked("readMessage", json!({"messageId": format!("{room}-999")})).await;
    anns.has_nothing().await;
    ann.says(room, "6").await.created();
    assert_eq!(position(&app, room, &bob).await, 5);
}

#[tokio::test]
async fn a_read_message_frame_without_a_ref_gets_no_answer() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    bobs.send_text(json!({"event": "readMessage", "data": {"roomId": room, "seq": 3}}).to_string()).await;
    assert_eq!(anns.receives("messageRead").await["readSeq"], 3);
    for _ in 0..3 {
        bobs.has_nothing().await;
    }
}

#[tokio::test]
async fn only_members_can_move_a_read_position_and_only_their_own() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (eve, zoe) = (app.user("eve").await, app.foreigner("zoe").await);
    let mut anns = ann.connect().await;
    let data = json!({"roomId": room, "seq": 3});
    eve.connect().await.refused("readMessage", data.clone(), "not_a_member").await;
    zoe.connect().await.refused("readMessage", data.clone(), "room_not_found").await;
    let mut bobs = bob.connect().await;
    bobs.refused("readMessage", json!({"roomId": 999_999_999, "seq": 1}), "room_not_found").await;
    let not_own = json!({"roomId": room, "seq": 3, "userId": ann.user_id});
    bobs.refused("readMessage", not_own, "identity_mismatch").await;
    bob.leaves(room).await.no_content();
    bobs.receives("userLeft").await;
    bobs.refused("readMessage", data, "not_a_member").await;
    anns.receives("userLeft").await;
    anns.has_nothing().await;
    assert_eq!(position(&app, room, &ann).await, 0);
}

#[tokio::test]
async fn an_invalid_position_is_refused_and_its_fields_are_reported() {
    let app = TestApp::start().await;
    let (_, bob, room) = room_of_two(&app).await;
    let mut bobs = bob.connect().await;
    let wrong = [
        (json!({}), vec!["roomId", "seq"]),
        (json!({"roomId": room}), vec!["seq"]),
        (json!({"roomId": "x", "seq": -1}), vec!["roomId", "seq"]),
        (json!({"roomId": room + 1, "messageId": format!("{room}-2")}), vec!["messageId"]),
    ];
    for (data, fields) in wrong {
        let problem = bobs.refused("readMessage", data.clone(), "invalid_request").await;
        let named: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(named, fields, "{data}");
    }
}

#[tokio::test]
async fn a_read_position_in_a_room_of_more_than_fifty_members_is_told_only_to_the_readers_other_sockets() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let channel = ann.makes_a_channel("General").await;
    bob.joins(channel).await.created();
    ann.says(channel, "2").await.created();
    ann.says(channel, "3").await.created();
    fill(&app, channel, &ann, 48).await;
    let (mut anns, mut bobs, mut bobs_other) =
        (ann.connect().await, bob.connect().await, bob.connect().await);
    let shown = async || {
        let members = ann.get(&format!("/api/rooms/{channel}/members")).await.ok();
        let members = members["members"].as_array().unwrap().clone();
        members.into_iter().find(|member| member["userId"] == bob.user_id).unwrap()["readSeq"].take()
    };
    bobs.acked("readMessage", json!({"roomId": channel, "seq": 2})).await;
    for socket in [&mut anns, &mut bobs_other] {
        socket.receives("messageRead").await;
    }
    assert_eq!(shown().await, 2);
    app.foreigner("cat").await.joins(channel).await.created();
    for socket in [&mut anns, &mut bobs, &mut bobs_other] {
        socket.receives("userJoined").await;
    }
    assert_eq!(bobs.acked("readMessage", json!({"roomId": channel, "seq": 3})).await["readSeq"], 3);
    let read = json!({"roomId": channel, "userId": bob.user_id, "readSeq": 3});
    assert_eq!(bobs_other.receives("messageRead").await, read);
    for socket in [&mut anns, &mut bobs, &mut bobs_other] {
        socket.has_nothing().await;
    }
    assert_eq!(shown().await, json!(null));
    bobs.acked("typing", json!({"roomId": channel})).await;
    bobs_other.has_nothing().await;
    assert_eq!(position(&app, channel, &bob).await, 3);
}

#[tokio::test]
async fn concurrent_read_positions_end_at_the_furthest() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    for number in 6..=30 {
        ann.says(room, &number.to_string()).await.created();
    }
    let mut sockets = [bob.connect().await, bob.connect().await];
    for seq in 1..=30 {
        sockets[seq % 2].send("readMessage", json!({"roomId": room, "seq": (seq * 7) % 31})).await;
    }
    for socket in &mut sockets {
        let mut acks = 0;
        while acks < 15 {
            let frame = socket.receive().await;
            assert_ne!(frame["event"], "error", "{frame}");
            acks += usize::from(frame["event"] == "ack");
        }
    }
    assert_eq!(position(&app, room, &bob).await, 30);
}
