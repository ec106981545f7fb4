//! What a socket is told before the service closes it: docs/contract.md, "Closing". That of one socket too many is in
//! `credentials`, and `sessionRevoked` in `ending`.

use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn an_unknown_socket_is_told_to_come_back_after_the_answer_to_its_frame() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for end in [
        "UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?",
        "DELETE FROM connections WHERE user_id = ?",
    ] {
        let mut socket = ann.connect().await;
        app.run(end, (&ann.user_id,)).await;
        socket.refused("ping", json!({}), "unauthenticated").await;
        let closing = json!({"event": "closing", "data": {"reason": "unknownSocket", "reconnect": true}});
        assert_eq!(socket.until_closed().await, (vec![closing], 1000));
    }
}

#[tokio::test]
async fn a_server_that_stops_tells_its_sockets_when_to_come_back() {
    let app = TestApp::with(&[]).await;
    let ann = app.user("ann").await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(ann.connect().await);
    }
    app.stop();
    let mut waits = Vec::new();
    for socket in &mut sockets {
        let (frames, code) = socket.until_closed().await;
        let [closing] = frames.as_slice() else { panic!("{frames:?}") };
        let wait = closing["data"]["afterMs"].as_u64().unwrap();
        let expected = json!({"reason": "serverRestart", "reconnect": true, "afterMs": wait});
        assert_eq!((&closing["event"], &closing["data"], code), (&json!("closing"), &expected, 1001));
        assert!((1000..=5000).contains(&wait));
        waits.push(wait);
    }
    waits.dedup();
    assert!(waits.len() > 1, "they do not come back at once: {waits:?}");
}

#[tokio::test]
async fn a_socket_of_an_ended_session_is_told_only_that() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.connect().await;
    ann.post("/api/auth/logout", json!({})).await.no_content();
    assert_eq!(socket.until_closed().await, (vec![json!({"event": "sessionRevoked", "data": {}})], 1000));
}
