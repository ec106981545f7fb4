//! What the gateway does for clients of Socket.IO beyond API Gateway.

use std::sync::Arc;
use std::time::Duration;

use gateway::limits::{CONCURRENT_MESSAGES, GatewayLimits};
use serde_json::{Value, json};
use shared::base::push::Sockets;
use shared::sockets::socket_io::Heartbeat;
use tokio::sync::Notify;

use crate::harness::{Behavior, Socket, TEMPLATE, TestGateway, template};

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=websocket";

async fn connect(gateway: &TestGateway) -> Socket {
    gateway.handshake(HANDSHAKE, &[]).await.unwrap().0
}

#[tokio::test]
async fn a_websocket_at_its_path_is_one_at_the_root() {
    let gateway = TestGateway::with_functions([]).await;
    for path in [HANDSHAKE, "/socket.io?EIO=4&transport=websocket", "/?EIO=4&transport=websocket"] {
        let (mut socket, _) = gateway.handshake(path, &[]).await.unwrap();
        let event = gateway.event("connect").await;
        assert_eq!(event["queryStringParameters"], json!({"EIO": "4", "transport": "websocket"}));
        socket.send(r#"{"action": "record"}"#).await;
        gateway.event("record").await;
    }
}

#[tokio::test]
async fn what_is_no_websocket_of_its_fourth_version_is_refused_with_400() {
    let gateway = TestGateway::with_functions([]).await;
    for (query, code) in [
        ("", 0),
        ("?EIO=4&transport=polling", 0),
        ("?EIO=4&transport=websocket", 3),
        ("?EIO=3&transport=websocket", 5),
        ("?transport=websocket", 5),
        ("?EIO=4&transport=websocket&sid=x", 1),
    ] {
        for path in ["/socket.io/", "/socket.io"] {
            let (status, body) = gateway.get_text(&format!("{path}{query}")).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, &body["code"]), (400, &json!(code)), "{path}{query}: {body}");
            if code != 3 {
                let refusal = gateway.handshake(&format!("{path}{query}"), &[]).await.err().unwrap();
                assert_eq!(refusal.status().as_u16(), 400, "{path}{query}");
            }
        }
    }
    assert!(!gateway.functions.has_event("connect"));
}

#[tokio::test]
async fn its_client_is_pinged_and_closed_with_1001_when_it_gives_no_sign_of_life() {
    let heartbeat = Heartbeat { interval: Duration::from_millis(1000), timeout: Duration::from_millis(900) };
    // The idle timeout is shorter than three pings: they count as messages.
    let idle_timeout = Duration::from_millis(1800);
    let limits = GatewayLimits { heartbeat, idle_timeout, ..GatewayLimits::default() };
    let gateway = TestGateway::with_limits(limits).await;
    let mut socket = connect(&gateway).await;
    for _ in 0..3 {
        assert_eq!(socket.receive().await, "2");
        socket.send("3").await;
    }
    assert!(!gateway.functions.has_event("default"), "the gateway takes the answers itself");
    assert_eq!(socket.receive().await, "2");
    assert_eq!(socket.closed().await.0, 1001);
}

#[tokio::test]
async fn its_client_is_not_closed_while_the_gateway_itself_does_not_read() {
    let heartbeat = Heartbeat { interval: Duration::from_millis(500), timeout: Duration::from_millis(450) };
    let limits = GatewayLimits { heartbeat, ..GatewayLimits::default() };
    let answer = Arc::new(Notify::new());
    let slow = [("record", Behavior::WaitFor(answer.clone()))];
    let gateway = TestGateway::new(template(TEMPLATE), slow, limits).await;
    let mut socket = connect(&gateway).await;
    for _ in 0..CONCURRENT_MESSAGES {
        socket.send(r#"{"action": "record"}"#).await;
    }
    for _ in 0..CONCURRENT_MESSAGES {
        gateway.event("record").await;
    }
    // Nobody reads its answers to these.
    for _ in 0..5 {
        assert_eq!(socket.receive().await, "2");
        socket.send("3").await;
    }
    answer.notify_waiters();
    socket.send(r#"{"action": "record"}"#).await;
    gateway.event("record").await;
    // A client that is silent is closed as ever.
    answer.notify_waiters();
    let code = loop {
        if let Some((code, _)) = socket.text_or_closed().await {
            break code;
        }
    };
    assert_eq!(code, 1001);
}

#[tokio::test]
async fn its_binary_messages_are_passed_over() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = connect(&gateway).await;
    socket.send_binary(b"bytes").await;
    socket.send(r#"{"action": "record"}"#).await;
    gateway.event("record").await;
}

#[tokio::test]
async fn a_text_that_is_left_while_connect_runs_is_the_first() {
    let connect = Arc::new(Notify::new());
    let gateway = TestGateway::with_functions([("connect", Behavior::WaitFor(connect.clone()))]).await;
    assert!(!gateway.connections.post_when_open("unknown", "0".into()));
    let leaving = async {
        let id = gateway.connection_id().await;
        assert!(gateway.connections.post_when_open(&id, "first".into()));
        connect.notify_one();
        id
    };
    let (mut socket, id) = tokio::join!(gateway.connect(), leaving);
    gateway.connections.post(&id, "second".into()).await.unwrap();
    assert!(!gateway.connections.post_when_open(&id, "too late".into()));
    assert_eq!((socket.receive().await, socket.receive().await), ("first".to_owned(), "second".to_owned()));
}
