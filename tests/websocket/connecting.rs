use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_handshake_without_a_valid_token_is_refused_with_401_and_a_problem() {
    let app = TestApp::start().await;
    for query in ["", "?token=", "?token=x", "?other=1"] {
        let Err((status, body)) = app.connect(query).await else { panic!("{query:?} opened a socket") };
        assert_eq!((status, &body["code"]), (401, &json!("unauthenticated")), "{query}");
    }
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM connections").await, [0]);
}

#[tokio::test]
async fn a_socket_has_a_row_until_it_closes() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let socket = ann.connect().await;
    let of_ann = format!("FROM connections WHERE user_id = '{}'", ann.user_id);
    let rows: Vec<(String, i64)> = app
        .rows(&format!(
            "SELECT connection_id, ROUND(TIMESTAMPDIFF(SECOND, connected_at, expires_at) / 60) {of_ann}"
        ))
        .await;
    assert!(rows[0].0.ends_with('='), "{rows:?}");
    assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [120]);
    socket.close().await;
    app.until(0, &format!("SELECT COUNT(*) {of_ann}")).await;
}

#[tokio::test]
async fn a_frame_from_an_unknown_socket_is_refused_and_the_socket_is_closed() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let frames = [
        ("sendMessage", json!({"roomId": room, "content": "x"})),
        ("joinRoom", json!({"roomId": room})),
        ("leaveRoom", json!({"roomId": room})),
        ("ping", json!({})),
        ("sync", json!({"rooms": {}})),
        ("sendMessage", json!({})),
        ("nope", json!({})),
    ];
    for (event, data) in frames {
        let mut socket = ann.connect().await;
        app.run("DELETE FROM connections WHERE user_id = ?", (&ann.user_id,)).await;
        socket.refused(event, data, "unauthenticated").await;
        assert_eq!(socket.closed().await, 1000, "{event}");
    }
}

#[tokio::test]
async fn a_socket_can_do_nothing_after_its_two_hours() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    app.run(
        "UPDATE connections SET expires_at = NOW() - INTERVAL 1 SECOND WHERE user_id = ?",
        (&ann.user_id,),
    )
    .await;
    socket.refused("sendMessage", json!({"roomId": room, "content": "x"}), "unauthenticated").await;
}
