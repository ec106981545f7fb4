//! A gateway that stops begins nothing, and ends what it has begun.

use std::sync::Arc;
use std::time::Duration;

use gateway::limits::GatewayLimits;
use shared::base::push::Sockets;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{Behavior, RawConnection, TEMPLATE, TIMEOUT, TestGateway, UPGRADE, template};

const MESSAGE: &str = r#"{"action": "record"}"#;

/// Waits until nobody can connect any more.
async fn until_closed(gateway: &TestGateway) {
    let closed = async { while TcpStream::connect(gateway.address).await.is_ok() {} };
    timeout(TIMEOUT, closed).await.expect("the gateway does not accept connections any more");
}

#[tokio::test]
async fn a_gateway_that_stops_answers_what_it_has_read() {
    let [record, echo] = [(); 2].map(|()| Arc::new(Notify::new()));
    let functions =
        [("record", Behavior::WaitFor(record.clone())), ("echo", Behavior::WaitFor(echo.clone()))];
    // Enough for a busy machine: the test ends as soon as the functions do.
    let limits = GatewayLimits { drain_timeout: TIMEOUT, ..GatewayLimits::default() };
    let mut gateway = TestGateway::new(template(TEMPLATE), functions, limits).await;
    let mut socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    socket.send(MESSAGE).await;
    let mut request = RawConnection::request(&gateway, &["GET /echo HTTP/1.1"]).await;
    for function in ["record", "echo"] {
        gateway.event(function).await;
    }
    gateway.stop();
    until_closed(&gateway).await;

    // A message that comes now is not read.
    socket.send(MESSAGE).await;
    echo.notify_one();
    assert_eq!(request.head().await.0, 200);
    assert_eq!(gateway.connections.post(&id, "the answer".into()).await, Ok(()));
    assert_eq!(socket.receive().await, "the answer");
    record.notify_one();
    assert_eq!(socket.closed().await.0, 1001);
    gateway.stopped().await;
    assert!(!gateway.functions.has_event("record"));
}

#[tokio::test]
async fn a_gateway_that_stops_opens_no_socket() {
    let echo = Arc::new(Notify::new());
    let limits = GatewayLimits { drain_timeout: TIMEOUT, ..GatewayLimits::default() };
    let functions = [("echo", Behavior::WaitFor(echo.clone()))];
    let mut gateway = TestGateway::new(template(TEMPLATE), functions, limits).await;
    let mut client = RawConnection::from(&gateway, "127.0.0.1").await;
    let (beginning, rest) = UPGRADE.split_at(1);
    client.write(format!("{}\r\n", beginning[0]).as_bytes()).await;
    let _waiting = RawConnection::request(&gateway, &["GET /echo HTTP/1.1"]).await;
    gateway.event("echo").await;
    gateway.stop();
    until_closed(&gateway).await;
    client.write(format!("{}\r\nHost: gateway.test\r\n\r\n", rest.join("\r\n")).as_bytes()).await;
    // A connection on which nothing was read is closed without a response.
    assert!(client.try_head().await.is_none_or(|(status, _)| status == 503));
    assert!(!gateway.functions.has_event("connect"));
    echo.notify_one();
    gateway.stopped().await;
}

#[tokio::test]
async fn a_socket_whose_handshake_is_under_way_is_closed_too() {
    let connect = Arc::new(Notify::new());
    let functions = [("connect", Behavior::WaitFor(connect.clone()))];
    let mut gateway = TestGateway::with_functions(functions).await;
    let mut client = RawConnection::request(&gateway, &UPGRADE).await;
    gateway.event("connect").await;
    gateway.stop();
    until_closed(&gateway).await;
    connect.notify_one();
    assert_eq!(client.head().await.0, 101);
    // A close frame with 1001.
    assert_eq!(client.ends().await[..4], [0x88, 12, 0x03, 0xe9]);
    assert_eq!(gateway.event("disconnect").await["requestContext"]["disconnectStatusCode"], 1001);
    gateway.stopped().await;
}

#[tokio::test]
async fn functions_that_hang_do_not_keep_a_gateway_from_stopping() {
    let functions = ["record", "echo", "disconnect"].map(|name| (name, Behavior::Hang));
    let [drain_timeout, shutdown_timeout] = [100, 200].map(Duration::from_millis);
    let limits = GatewayLimits { drain_timeout, shutdown_timeout, ..GatewayLimits::default() };
    let mut gateway = TestGateway::new(template(TEMPLATE), functions, limits).await;
    let mut socket = gateway.connect().await;
    socket.send(MESSAGE).await;
    let _request = RawConnection::request(&gateway, &["GET /echo HTTP/1.1"]).await;
    for function in ["record", "echo"] {
        gateway.event(function).await;
    }
    gateway.stop();
    assert_eq!(socket.closed().await.0, 1001);
    gateway.stopped().await;
    let GatewayLimits { drain_timeout, shutdown_timeout, .. } = GatewayLimits::default();
    assert_eq!((drain_timeout, shutdown_timeout), (Duration::from_secs(2), Duration::from_secs(5)));
}
