//! `clientMessageId` makes a send repeatable.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Statements, TestApp};

#[tokio::test]
async fn one_of_eight_concurrent_sends_with_one_client_message_id_is_stored_and_pushed() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    let draft = json!({"roomId": room, "content": "once", "clientMessageId": "k1"});
    let answers = join_all((0..8).map(|_| ann.post("/api/messages", draft.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers {
        assert!([200, 201].contains(&answer.status), "{}", answer.json);
        assert_eq!(answer.json["message"]["messageId"], format!("{room}-2"));
    }
    bobs.receives("receiveMessage").await;
    bobs.has_nothing().await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_repeated_frame_is_acknowledged_with_the_same_message() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    let draft = json!({"roomId": room, "content": "once", "clientMessageId": "k1"});
    let first = socket.acked("sendMessage", draft.clone()).await;
    assert_eq!((&first["roomId"], &first["seq"]), (&json!(room), &json!(1)));
    assert_eq!(socket.acked("sendMessage", draft.clone()).await, first);
    assert_eq!(ann.post("/api/messages", draft).await.ok()["message"], first["message"]);
}

#[tokio::test]
async fn a_send_whose_commit_is_not_answered_is_stored_once_and_found_when_it_is_repeated() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let draft = json!({"roomId": room, "content": "once", "clientMessageId": "k1"});
    statements.lose_the_response_to("UPDATE rooms FORCE INDEX");
    ann.post("/api/messages", draft.clone()).await.refused(503, "database_unavailable");
    assert!(statements.has_lost());
    let again = ann.post("/api/messages", draft).await.ok();
    assert_eq!(again["message"]["seq"], 1);
    assert_eq!(ann.reads(room).await, [(1, "once".to_owned())]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_send_whose_commit_the_server_refuses_is_not_stored() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    statements.replace("COMMIT; SELECT r.id", "KOMMIT; SELECT r.id");
    ann.says(room, "refused").await.refused(500, "internal");
    assert!(statements.has_replaced());
    assert_eq!(ann.says(room, "hello").await.created()["message"]["seq"], 1);
    assert_eq!(ann.reads(room).await, [(1, "hello".to_owned())]);
    assert_eq!(socket.receives("receiveMessage").await["message"]["content"], "hello");
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_message_reaches_its_room_even_if_the_sockets_cannot_be_read_with_its_commit() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    statements.replace("COMMIT; SELECT r.id", "COMMIT; SELEKT r.id");
    ann.says(room, "hello").await.created();
    assert!(statements.has_replaced());
    assert_eq!(bobs.receives("receiveMessage").await["message"]["content"], "hello");
    bobs.has_nothing().await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn another_body_with_the_same_id_is_refused() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let draft = |content: &str, encrypted: bool, reply_to: Value| json!({"roomId": room, "content": content, "clientMessageId": "k1", "isEncrypted": encrypted, "replyTo": reply_to});
    ann.says(room, "first").await.created();
    ann.post("/api/messages", draft("a", false, json!(null))).await.created();
    let reply = json!(format!("{room}-1"));
    for other in [draft("b", false, json!(null)), draft("a", true, json!(null)), draft("a", false, reply)] {
        ann.post("/api/messages", other).await.refused(409, "client_message_id_reused");
    }
    let mut socket = ann.connect().await;
    socket.refused("sendMessage", draft("b", false, json!(null)), "client_message_id_reused").await;
    assert_eq!(ann.reads(room).await.len(), 2, "no sequence number is taken");
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_id_is_per_sender_and_room_and_compares_byte_for_byte() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let (room, other) = (ann.opens_a_room().await, ann.opens_a_room().await);
    bob.joins(room).await.created();
    let draft = |room: u64, id: &str| json!({"roomId": room, "content": "x", "clientMessageId": id});
    let sent = [
        (&ann, room, "k1"),
        (&bob, room, "k1"),
        (&ann, other, "k1"),
        (&ann, room, "K1"),
        (&ann, room, "k1 "),
        (&ann, room, "\"k1\\"),
        (&ann, room, "k\u{1f600}"),
    ];
    for (person, room, id) in sent {
        person.post("/api/messages", draft(room, id)).await.created();
    }
    for (person, room, id) in sent {
        person.post("/api/messages", draft(room, id)).await.ok();
    }
}

#[tokio::test]
async fn membership_is_checked_before_the_id() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let draft = json!({"roomId": room, "content": "x", "clientMessageId": "k1"});
    bob.post("/api/messages", draft.clone()).await.created();
    bob.leaves(room).await.no_content();
    bob.post("/api/messages", draft).await.refused(403, "not_a_member");
}
