//! No client takes the port from the others, however slow it is and however much it sends.

use std::time::Duration;

use gateway::Gateway;
use gateway::limits::{EVENT_BYTES, GatewayLimits, RESPONSE_BYTES};
use gateway::tls::Tls;
use serde_json::json;
use shared::config::{ConnectionLimits, TlsFiles};
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

/// A gateway that believes 127.0.0.2, with this many connections for each client.
async fn behind_a_proxy(of_address: u32) -> TestGateway {
    let connections = ConnectionLimits { all: None, of_address: Some(of_address) };
    let adjust = |gateway: Gateway| {
        gateway
            .with_connection_limits(connections)
            .with_trusted_proxies(vec!["127.0.0.2/32".parse().unwrap()])
    };
    TestGateway::adjusted(template(TEMPLATE), [], GatewayLimits::default(), adjust).await
}

/// Sends a request from this address of the machine, with these lines in its head.
async fn from(gateway: &TestGateway, address: &str, lines: &[&str]) -> RawConnection {
    let mut connection = RawConnection::from(gateway, address).await;
    connection.write(format!("{}\r\nHost: chat.test\r\n\r\n", lines.join("\r\n")).as_bytes()).await;
    connection
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is_and_nobody_else_does() {
    let gateway = behind_a_proxy(10).await;
    let claims = ["X-Forwarded-For: 198.51.100.1, 192.0.2.7", "X-Forwarded-Proto: https"];
    for (peer, source_ip, forwarded_for, proto, port) in [
        ("127.0.0.2", "192.0.2.7", "198.51.100.1, 192.0.2.7", "https", "443"),
        ("127.0.0.1", "127.0.0.1", "198.51.100.1, 192.0.2.7, 127.0.0.1", "http", "80"),
    ] {
        assert_eq!(from(&gateway, peer, &[GET[0], claims[0], claims[1]]).await.head().await.0, 200);
        let event = gateway.event("echo").await;
        assert_eq!(event["requestContext"]["http"]["sourceIp"], source_ip);
        let header = |name: &str| event["headers"][name].clone();
        let found = [header("x-forwarded-for"), header("x-forwarded-proto"), header("x-forwarded-port")];
        assert_eq!(found, [json!(forwarded_for), json!(proto), json!(port)], "from {peer}");
        let handshake: Vec<&str> = UPGRADE.iter().copied().chain(claims).collect();
        let mut socket = from(&gateway, peer, &handshake).await;
        assert_eq!(socket.head().await.0, 101);
        assert_eq!(gateway.event("connect").await["requestContext"]["identity"]["sourceIp"], source_ip);
    }
}

#[tokio::test]
async fn each_client_of_a_proxy_has_its_own_connections_and_the_proxy_any_number() {
    let gateway = behind_a_proxy(2).await;
    let socket_of = async |client: &str| {
        let client = format!("X-Forwarded-For: {client}");
        let handshake: Vec<&str> = UPGRADE.iter().copied().chain([&*client]).collect();
        let mut socket = from(&gateway, "127.0.0.2", &handshake).await;
        (socket.head().await.0, socket)
    };
    let (first, second) = (socket_of("192.0.2.1").await, socket_of("192.0.2.1").await);
    assert_eq!((first.0, second.0), (101, 101));
    let (status, mut refused) = socket_of("192.0.2.1").await;
    assert_eq!(status, 429);
    // The same connection of the proxy serves another client, and as many requests as it likes.
    for client in ["192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.3"] {
        let head = format!("{}\r\nHost: chat.test\r\nX-Forwarded-For: {client}\r\n\r\n", GET[0]);
        refused.write(head.as_bytes()).await;
    }
    let others = [socket_of("192.0.2.2").await, socket_of("192.0.2.2").await];
    assert!(others.iter().all(|(status, _)| *status == 101));
    drop(first);
    let again = async { while socket_of("192.0.2.1").await.0 != 101 {} };
    timeout(TIMEOUT, again).await.expect("a socket that ends leaves its place");
}

#[tokio::test]
async fn half_a_tls_handshake_is_ended() {
    let folder = std::env::temp_dir().join(format!("gateway_test_{:016x}", rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl
        .args(["-days", "7", "-subj", "/CN=localhost", "-keyout"])
        .arg(&files.key)
        .arg("-out")
        .arg(&files.cert);
    assert!(openssl.output().unwrap().status.success());
    let tls = Tls::new(files).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let limits = GatewayLimits { head_timeout: SHORT, ..GatewayLimits::default() };
    let gateway =
        TestGateway::adjusted(template(TEMPLATE), [], limits, |gateway| gateway.with_tls(Some(tls))).await;
    // Nothing, the beginning of a handshake, and what is none.
    for beginning in ["", "\x16\x03\x01\x02\x00\x01", "GET /echo HTTP/1.1\r\nHost: chat.test\r\n\r\n"] {
        let mut client = RawConnection::from(&gateway, "127.0.0.1").await;
        client.write(beginning.as_bytes()).await;
        client.ends().await;
    }
    assert!(!gateway.functions.has_event("echo"));
}
