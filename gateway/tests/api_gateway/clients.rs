//! No client takes the port from the others, however slow it is and however much it sends.

use std::time::Duration;

use gateway::limits::{EVENT_BYTES, GatewayLimits, RESPONSE_BYTES};
use serde_json::json;
use shared::config::ConnectionLimits;
use tokio::time::timeout;

use crate::harness::{Behavior, RawConnection, TEMPLATE, TIMEOUT, TestGateway, UPGRADE, template};

const SHORT: Duration = Duration::from_millis(100);
const GET: [&str; 1] = ["GET /echo HTTP/1.1"];

/// A gateway with these limits of connections, and functions that return 200.
async fn limited(all: u32, of_address: u32, limits: GatewayLimits) -> TestGateway {
    let connections = ConnectionLimits { all: Some(all), of_address: Some(of_address) };
    TestGateway::limited(template(TEMPLATE), [], limits, connections).await
}

/// Whether a connection from this address of the machine is served. It stays open.
async fn served(gateway: &TestGateway, from: &str) -> Option<RawConnection> {
    let mut connection = RawConnection::from(gateway, from).await;
    connection.write(b"GET /echo HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await;
    let is_served = connection.try_head().await.is_some_and(|(status, _)| status == 200);
    is_served.then_some(connection)
}

/// Waits until a connection is served, since others have ended.
async fn until_served(gateway: &TestGateway) {
    let served = async { while served(gateway, "127.0.0.1").await.is_none() {} };
    timeout(TIMEOUT, served).await.expect("the others end");
}

#[tokio::test]
async fn half_a_head_is_ended() {
    let gateway =
        TestGateway::with_limits(GatewayLimits { head_timeout: SHORT, ..GatewayLimits::default() }).await;
    for beginning in ["", "GET /echo HT", "GET /echo HTTP/1.1\r\nHost: gateway.test\r\nX-Half:"] {
        let mut client = RawConnection::from(&gateway, "127.0.0.1").await;
        client.write(beginning.as_bytes()).await;
        client.ends().await;
    }
    assert!(!gateway.functions.has_event("echo"));
    assert_eq!(GatewayLimits::default().head_timeout, Duration::from_secs(30));
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_ended() {
    let gateway =
        TestGateway::with_limits(GatewayLimits { head_timeout: SHORT, ..GatewayLimits::default() }).await;
    let mut client = RawConnection::request(&gateway, &GET).await;
    assert_eq!(client.head().await.0, 200);
    client.ends().await;
}

#[tokio::test]
async fn a_head_of_more_than_64_kb_gives_431() {
    let gateway = TestGateway::with_functions([]).await;
    for (bytes, status) in [(60 * 1024, 200), (200 * 1024, 431)] {
        let long = format!("X-Long: {}", "x".repeat(bytes));
        assert_eq!(RawConnection::request(&gateway, &[GET[0], &long]).await.head().await.0, status);
    }
}

#[tokio::test]
async fn half_a_body_gives_408() {
    let gateway =
        TestGateway::with_limits(GatewayLimits { body_timeout: SHORT, ..GatewayLimits::default() }).await;
    let mut client = RawConnection::request(&gateway, &["POST /echo HTTP/1.1", "Content-Length: 10"]).await;
    client.write(b"half").await;
    assert_eq!(client.head().await.0, 408);
    assert!(client.rest().await.starts_with(r#"{"message":"Request Timeout"}"#));
    assert!(!gateway.functions.has_event("echo"));
    assert_eq!(GatewayLimits::default().body_timeout, Duration::from_secs(60));
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_gives_413_before_it_comes() {
    let gateway = TestGateway::with_functions([]).await;
    for length in [EVENT_BYTES + 1, 1 << 50] {
        let length = format!("Content-Length: {length}");
        let mut client = RawConnection::request(&gateway, &["POST /echo HTTP/1.1", &length]).await;
        assert_eq!(client.head().await.0, 413);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_responses_is_ended() {
    let body = "x".repeat(RESPONSE_BYTES - 1024);
    let connections = ConnectionLimits { all: Some(1), of_address: None };
    let limits = GatewayLimits { write_timeout: SHORT, ..GatewayLimits::default() };
    let large = [("echo", Behavior::Return(json!({ "statusCode": 200, "body": body })))];
    let gateway = TestGateway::limited(template(TEMPLATE), large, limits, connections).await;
    let mut client = RawConnection::from(&gateway, "127.0.0.1").await;
    // More than the buffers of the system hold.
    for _ in 0..16 {
        client.write(b"GET /echo HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await;
    }
    until_served(&gateway).await;
    assert_eq!(GatewayLimits::default().write_timeout, Duration::from_secs(60));
}

#[tokio::test]
async fn so_many_connections_are_open_and_fewer_of_one_address() {
    let gateway = limited(3, 2, GatewayLimits::default()).await;
    let mut socket = RawConnection::request(&gateway, &UPGRADE).await;
    assert_eq!(socket.head().await.0, 101);
    let second = served(&gateway, "127.0.0.1").await.expect("a second connection");
    assert!(served(&gateway, "127.0.0.1").await.is_none(), "the address has two");
    let _third = served(&gateway, "127.0.0.2").await.expect("another address");
    assert!(served(&gateway, "127.0.0.3").await.is_none(), "three are open");
    drop(second);
    until_served(&gateway).await;
}

#[tokio::test]
async fn only_http_1_is_spoken() {
    let gateway = TestGateway::with_functions([]).await;
    let mut client = RawConnection::from(&gateway, "127.0.0.1").await;
    // The preface of HTTP/2, and its empty SETTINGS.
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let answer = client.ends().await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
}
