use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Socket, TestApp};

/// The sequence numbers of the next `count` frames, which must all be of this event.
async fn seqs(socket: &mut Socket, event: &str, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(socket.receives(event).await["seq"].as_u64().unwrap());
    }
    seqs
}

#[tokio::test]
async fn members_receive_each_message_once_and_in_order_and_others_receive_nothing() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.user("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);

    let ack = anns.acked("sendMessage", json!({"roomId": room, "content": "Hello, Bob!"})).await;
    let pushed = bobs.receives("receiveMessage").await;
    assert_eq!(pushed, ack, "the push and the ack have the same data");
    bobs.acked("sendMessage", json!({"roomId": room, "content": "Hello, Ann!"})).await;
    assert_eq!(anns.receives("receiveMessage").await["message"]["content"], "Hello, Ann!");
    for number in 4..=13 {
        anns.acked("sendMessage", json!({"roomId": room, "content": number.to_string()})).await;
    }
    assert_eq!(seqs(&mut bobs, "receiveMessage", 10).await, (4..=13).collect::<Vec<_>>());
    for socket in [&mut anns, &mut bobs, &mut eves] {
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn a_message_reaches_all_sockets_of_its_sender_except_the_sending_one() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let (mut phone, mut laptop) = (ann.connect().await, ann.connect().await);
    phone.acked("sendMessage", json!({"roomId": room, "content": "note to self"})).await;
    phone.has_nothing().await;
    assert_eq!(laptop.receives("receiveMessage").await["message"]["content"], "note to self");
}

#[tokio::test]
async fn forty_frames_sent_at_once_on_one_socket_get_forty_acks_without_a_gap() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let mut references = Vec::new();
    for number in 0..40 {
        references.push(json!(
            anns.send("sendMessage", json!({"roomId": room, "content": number.to_string()})).await
        ));
    }
    let mut acked: Vec<Value> = Vec::new();
    let mut acks = Vec::new();
    for _ in 0..40 {
        let frame = anns.receive().await;
        assert_eq!(frame["event"], "ack", "{frame}");
        acked.push(frame["ref"].clone());
        acks.push(frame["data"]["seq"].as_u64().unwrap());
    }
    let mut received = seqs(&mut bobs, "receiveMessage", 40).await;
    acks.sort_unstable();
    received.sort_unstable();
    acked.sort_by_key(Value::as_u64);
    let all: Vec<u64> = (2..=41).collect();
    assert_eq!((acks, received, acked), (all.clone(), all, references));
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_member_with_many_sockets_and_rooms_receives_each_message_once_on_each_socket() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let rooms = [ann.opens_a_room().await, ann.opens_a_room().await];
    for room in rooms {
        bob.joins(room).await.created();
    }
    let mut bobs = join_all((0..5).map(|_| bob.connect())).await;
    for room in rooms {
        ann.says(room, "hello").await.created();
    }
    for socket in &mut bobs {
        let received = [socket.receives("receiveMessage").await, socket.receives("receiveMessage").await];
        assert_eq!([&received[0]["roomId"], &received[1]["roomId"]], [&json!(rooms[0]), &json!(rooms[1])]);
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn a_socket_that_ended_without_a_disconnect_blocks_nothing_and_expires() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    // Two sockets that the gateway does not know: one ended without a `$disconnect`, the other is new and may still
    // be in its handshake.
    app.run(
        "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
         SELECT CONCAT(age, '='), user_id, session_id, UTC_TIMESTAMP(3) - INTERVAL age SECOND, UTC_TIMESTAMP(3) + INTERVAL 1 HOUR
         FROM sessions JOIN (SELECT 5 AS age UNION SELECT 65) AS ages",
        (),
    )
    .await;
    ann.says(room, "anybody?").await.created();
    let open = "SELECT connection_id FROM connections WHERE expires_at > UTC_TIMESTAMP(3)";
    assert_eq!(app.rows::<String>(open).await, ["5="]);
    // The row stays, since a late `$disconnect` needs to know whose socket it was.
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM connections").await, [2]);
}
