use serde_json::json;

use super::fill;
use crate::harness::{Person, Socket, TestApp};

/// Two members of a room, and the room.
async fn room_of_two(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    (ann, bob, room)
}

/// A frame without `ref`.
async fn send_without_ref(socket: &mut Socket, event: &str, data: serde_json::Value) {
    socket.send_text(json!({"event": event, "data": data}).to_string()).await;
}

#[tokio::test]
async fn typing_and_stop_typing_are_pushed_to_all_other_sockets_of_the_members() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let eve = app.user("eve").await;
    let (mut anns, mut anns_other) = (ann.connect().await, ann.connect().await);
    let (mut bobs, mut eves) = (bob.connect().await, eve.connect().await);
    for event in ["typing", "stopTyping"] {
        let ack = anns.acked(event, json!({"roomId": room.to_string(), "userId": ann.user_id})).await;
        assert_eq!(ack, json!({"roomId": room}));
        for socket in [&mut anns_other, &mut bobs] {
            let received = socket.receives(event).await;
            assert_eq!(received, json!({"roomId": room, "userId": ann.user_id, "name": ann.user_id}));
        }
    }
    for socket in [&mut anns, &mut eves] {
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn without_a_ref_there_is_no_answer_even_to_a_refused_frame() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    for event in ["typing", "stopTyping"] {
        send_without_ref(&mut anns, event, json!({"roomId": room})).await;
        bobs.receives(event).await;
    }
    for event in ["typing", "stopTyping", "readMessage"] {
        send_without_ref(&mut anns, event, json!({"roomId": 999_999_999, "seq": 1})).await;
        send_without_ref(&mut anns, event, json!({"roomId": "x"})).await;
        send_without_ref(&mut anns, event, json!({"roomId": room, "seq": 1, "userId": bob.user_id})).await;
        anns.send_text(json!({"event": event, "data": []}).to_string()).await;
        anns.send_text(json!({"event": event, "data": {"roomId": 999_999_999}, "ref": null}).to_string())
            .await;
    }
    // Frames are handled concurrently, and these take longer than the ones before.
    for _ in 0..3 {
        anns.acked("sendMessage", json!({"roomId": room, "content": "hello"})).await;
        anns.has_nothing().await;
    }
}

#[tokio::test]
async fn an_unknown_socket_gets_an_error_even_without_a_ref() {
    let app = TestApp::start().await;
    let (ann, _, room) = room_of_two(&app).await;
    let mut socket = ann.connect().await;
    app.run("UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?", (&ann.user_id,)).await;
    send_without_ref(&mut socket, "typing", json!({"roomId": room})).await;
    assert_eq!(socket.receives("error").await["code"], "unauthenticated");
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn only_members_can_send_typing_and_only_in_their_own_name() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (eve, zoe) = (app.user("eve").await, app.foreigner("zoe").await);
    let mut bobs = bob.connect().await;
    for event in ["typing", "stopTyping"] {
        eve.connect().await.refused(event, json!({"roomId": room}), "not_a_member").await;
        zoe.connect().await.refused(event, json!({"roomId": room}), "room_not_found").await;
        let mut anns = ann.connect().await;
        anns.refused(event, json!({"roomId": 999_999_999}), "room_not_found").await;
        anns.refused(event, json!({"roomId": room, "userId": bob.user_id}), "identity_mismatch").await;
        anns.refused(event, json!({"roomId": room, "userId": 1}), "identity_mismatch").await;
        anns.refused(event, json!({}), "invalid_request").await;
    }
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_room_receives_one_typing_per_user_in_two_seconds_and_the_rest_is_dropped() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let other_room = ann.opens_a_room().await;
    app.run("UPDATE users SET prime = TRUE WHERE user_id = ?", (&bob.user_id,)).await;
    bob.joins(other_room).await.created();
    let (mut anns, mut anns_other, mut bobs) =
        (ann.connect().await, ann.connect().await, bob.connect().await);
    anns.acked("typing", json!({"roomId": room})).await;
    assert_eq!(bobs.receives("typing").await["roomId"], room);
    anns_other.receives("typing").await;
    // Extends the two seconds to ten minutes, longer than this test runs.
    app.run("UPDATE rate_limits SET tally = tally + (600000 << 20) WHERE name = 'typing'", ()).await;
    for _ in 0..5 {
        anns.acked("typing", json!({"roomId": room})).await;
        anns_other.acked("typing", json!({"roomId": room})).await;
    }
    bobs.has_nothing().await;
    // Each user has a count in each room, and `stopTyping` is always pushed.
    anns.acked("typing", json!({"roomId": other_room})).await;
    assert_eq!(bobs.receives("typing").await["roomId"], other_room);
    for _ in 0..2 {
        anns.acked("stopTyping", json!({"roomId": room})).await;
        bobs.receives("stopTyping").await;
    }
    bobs.acked("typing", json!({"roomId": room})).await;
    loop {
        let frame = anns.receive().await;
        if frame["event"] == "typing" && frame["data"]["userId"] == bob.user_id {
            break;
        }
    }
    bobs.has_nothing().await;
    // Two seconds after the first one.
    app.run("UPDATE rate_limits SET tally = tally - (602000 << 20) WHERE name = 'typing'", ()).await;
    anns.acked("typing", json!({"roomId": room})).await;
    bobs.receives("typing").await;
}

#[tokio::test]
async fn one_of_ten_concurrent_typings_is_pushed() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    anns.acked("typing", json!({"roomId": room})).await;
    bobs.receives("typing").await;
    // Extends the window by ten minutes, and takes the first one off its count.
    app.run("UPDATE rate_limits SET tally = tally + (600000 << 20) - 1 WHERE name = 'typing'", ()).await;
    for _ in 0..10 {
        anns.send("typing", json!({"roomId": room})).await;
    }
    for _ in 0..10 {
        assert_eq!(anns.receive().await["event"], "ack");
    }
    bobs.receives("typing").await;
    bobs.has_nothing().await;
}

#[tokio::test]
async fn typing_is_pushed_only_in_rooms_of_up_to_fifty_members() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let channel = ann.makes_a_channel("General").await;
    bob.joins(channel).await.created();
    fill(&app, channel, &ann, 48).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    anns.acked("typing", json!({"roomId": channel})).await;
    bobs.receives("typing").await;
    anns.acked("stopTyping", json!({"roomId": channel})).await;
    bobs.receives("stopTyping").await;

    let cat = app.foreigner("cat").await;
    cat.joins(channel).await.created();
    for socket in [&mut anns, &mut bobs] {
        socket.receives("userJoined").await;
    }
    bobs.acked("typing", json!({"roomId": channel})).await;
    bobs.acked("stopTyping", json!({"roomId": channel})).await;
    anns.has_nothing().await;
}

#[tokio::test]
async fn typing_takes_no_sequence_number_and_does_not_use_the_messages_table() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    app.run("RENAME TABLE messages TO messages_out_of_reach", ()).await;
    for event in ["typing", "stopTyping"] {
        anns.acked(event, json!({"roomId": room})).await;
        bobs.receives(event).await;
    }
    app.run("RENAME TABLE messages_out_of_reach TO messages", ()).await;
    assert_eq!(ann.get(&format!("/chats/{room}")).await.ok()["lastSeq"], 1);
    app.invariants_hold().await;
}
