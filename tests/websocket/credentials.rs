//! The ways to send credentials in the handshake, and the allowed origins.

use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Response;

use crate::harness::TestApp;

/// The response to a handshake with these headers.
async fn handshake(
    app: &TestApp,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Response<Option<Vec<u8>>> {
    let mut request = format!("{}/{query}", app.sockets).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((_, response)) => response,
        Err(Error::Http(response)) => *response,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_access_token_can_be_sent_in_the_header_or_as_a_subprotocol() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let token = &ann.access_token;
    let by_header = handshake(&app, "", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(by_header.status(), 101);
    let by_protocol = handshake(&app, "", &[("sec-websocket-protocol", &format!("bearer, {token}"))]).await;
    assert_eq!(
        (by_protocol.status().as_u16(), &by_protocol.headers()["sec-websocket-protocol"]),
        (101, &"bearer".parse().unwrap())
    );
    for headers in [
        ("authorization", "Basic x"),
        ("sec-websocket-protocol", "bearer, x"),
        ("sec-websocket-protocol", "bearer"),
    ] {
        assert_eq!(handshake(&app, "", &[headers]).await.status(), 401, "{headers:?}");
    }
}

#[tokio::test]
async fn a_page_of_an_unlisted_origin_is_refused_despite_a_valid_token() {
    let app = TestApp::with(&[("ALLOWED_ORIGINS", "https://chat.example, http://localhost:5173")]).await;
    let ann = app.user("ann").await;
    let query = format!("?token={}", ann.access_token);
    for (origin, status) in [
        ("https://chat.example", 101),
        ("http://localhost:5173", 101),
        ("https://evil.example", 403),
        ("https://chat.example.evil.example", 403),
        ("http://chat.example", 403),
        ("null", 403),
    ] {
        assert_eq!(handshake(&app, &query, &[("origin", origin)]).await.status(), status, "{origin}");
    }
    assert_eq!(
        handshake(&app, &query, &[]).await.status(),
        101,
        "clients other than browsers send no origin"
    );
}

#[tokio::test]
async fn every_origin_is_allowed_if_none_is_listed() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let query = format!("?token={}", ann.access_token);
    assert_eq!(handshake(&app, &query, &[("origin", "https://any.example")]).await.status(), 101);
}

#[tokio::test]
async fn one_socket_too_many_closes_the_oldest() {
    let app = TestApp::with(&[("MAX_SOCKETS", "3")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut bobs = bob.connect().await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(ann.connect().await);
    }
    let closing = json!({"event": "closing", "data": {"reason": "tooManySockets", "reconnect": false}});
    assert_eq!(sockets[0].until_closed().await, (vec![closing], 1000));
    for socket in &mut sockets[1..] {
        socket.has_nothing().await;
    }
    bobs.has_nothing().await;
}

#[tokio::test]
async fn concurrent_handshakes_do_not_exceed_the_socket_limit() {
    let app = TestApp::with(&[("MAX_SOCKETS", "2")]).await;
    let ann = app.user("ann").await;
    let mut sockets = futures_util::future::join_all((0..8).map(|_| ann.connect())).await;
    assert_eq!(
        app.rows::<u64>("SELECT COUNT(*) FROM connections WHERE expires_at > UTC_TIMESTAMP(3)").await,
        [2]
    );
    let mut open = 0;
    for socket in &mut sockets {
        open += usize::from(socket.is_open().await);
    }
    assert_eq!(open, 2, "no other socket stays open, deaf");
}
