use serde_json::{Value, json};

use crate::harness::TestApp;

#[tokio::test]
async fn a_malformed_frame_gets_an_error_and_the_socket_stays_open() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.connect().await;
    let malformed = [
        ("hello", "frame"),
        ("", "frame"),
        ("[]", "frame"),
        ("\"ping\"", "frame"),
        ("null", "frame"),
        ("{}", "event"),
        (r#"{"event": 7}"#, "event"),
        (r#"{"event": "nope"}"#, "event"),
        (r#"{"event": "$connect"}"#, "event"),
        (r#"{"event": "$disconnect", "data": {}}"#, "event"),
        (r#"{"event": "ping", "data": []}"#, "data"),
        (&json!({"event": "ping", "ref": "x".repeat(255)}).to_string(), "ref"),
        (r#"{"event": "joinRoom"}"#, "roomId"),
        (r#"{"event": "leaveRoom", "data": {"roomId": "x"}}"#, "roomId"),
        (r#"{"event": "sendMessage", "data": {"roomId": 1}}"#, "content"),
    ];
    for (text, field) in malformed {
        socket.send_text(text).await;
        let problem = socket.receives("error").await;
        assert_eq!(
            (&problem["code"], &problem["errors"][0]["field"]),
            (&json!("invalid_request"), &json!(field)),
            "{text}"
        );
    }
    socket.has_nothing().await;
}

#[tokio::test]
async fn the_answer_to_a_frame_has_its_ref() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.connect().await;
    for reference in [json!("a"), json!(7), json!({"n": [1]}), json!(false)] {
        socket.send_text(json!({"event": "ping", "ref": reference}).to_string()).await;
        assert_eq!(socket.receive().await["ref"], reference);
        socket.send_text(json!({"event": "nope", "ref": reference}).to_string()).await;
        assert_eq!(socket.receive().await["ref"], reference);
    }
    socket.send_text(r#"{"event": "ping"}"#).await;
    assert_eq!(socket.receive().await.get("ref"), None);
}

#[tokio::test]
async fn the_ack_of_a_join_has_the_fields_of_the_rest_response_and_the_sequence_number() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 200).await);
    let room = ann.opens_a_room().await;
    let mut socket = bob.connect().await;
    let entry = json!({"roomId": room.to_string(), "password": "open sesame", "userId": bob.user_id});
    let ack = socket.acked("joinRoom", entry).await;
    let seen = ["roomId", "seq", "charged", "availCoins", "alreadyMember"].map(|name| ack[name].clone());
    assert_eq!(seen, [json!(room), json!(1), json!(0), json!(200), json!(false)]);
    let again = socket.acked("joinRoom", json!({"roomId": room})).await;
    assert_eq!((&again["alreadyMember"], again.get("seq")), (&json!(true), None));
    socket.has_nothing().await;
}

#[tokio::test]
async fn frames_are_refused_with_the_same_problems_as_rest_requests() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    let mut socket = bob.connect().await;
    let wrong = json!({"roomId": room, "password": "nope"});
    let by_frame = socket.refused("joinRoom", wrong.clone(), "wrong_room_password").await;
    assert_eq!(by_frame, bob.post("/api/joinroom", wrong).await.refused(403, "wrong_room_password"));
    socket.refused("joinRoom", json!({"roomId": 999_999_999}), "room_not_found").await;
    socket.refused("joinRoom", json!({"roomId": room, "userId": ann.user_id}), "identity_mismatch").await;
    socket.refused("leaveRoom", json!({"roomId": room}), "not_a_member").await;
    socket.refused("leaveRoom", json!({"roomId": room, "userId": 1}), "identity_mismatch").await;
    let problem: Value = socket.refused("leaveRoom", json!({}), "invalid_request").await;
    assert_eq!(problem["errors"][0]["field"], "roomId");
}
