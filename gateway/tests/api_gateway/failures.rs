//! A function that fails causes an error message, and affects nothing else.

use std::time::Duration;

use gateway::limits::{CONCURRENT_MESSAGES, GatewayLimits};
use serde_json::Value;
use shared::base::push::Sockets;

use crate::harness::{Behavior, Socket, TEMPLATE, TestGateway, short_timeouts, template};

async fn receives_an_error_message(gateway: &TestGateway, socket: &mut Socket) {
    socket.send(r#"{"action": "record"}"#).await;
    let event = gateway.event("record").await;
    let [connection, request]: [&str; 2] =
        ["connectionId", "requestId"].map(|name| event["requestContext"][name].as_str().unwrap());
    let expected = format!(
        r#"{{"message": "Internal server error", "connectionId":"{connection}", "requestId":"{request}"}}"#
    );
    assert_eq!(socket.receive().await, expected);
}

async fn the_socket_stays_open_after(failure: Behavior) {
    let gateway = TestGateway::new(template(TEMPLATE), [("record", failure)], short_timeouts()).await;
    let mut socket = gateway.connect().await;
    // The second message shows that the socket stays open.
    receives_an_error_message(&gateway, &mut socket).await;
    receives_an_error_message(&gateway, &mut socket).await;
    socket.send(r#"{"action": "other"}"#).await;
    gateway.event("other").await;
    assert!(!gateway.functions.has_event("disconnect"));
}

#[tokio::test]
async fn a_function_that_throws_causes_an_error_message_and_the_socket_stays_open() {
    the_socket_stays_open_after(Behavior::Fail).await;
}

#[tokio::test]
async fn a_function_that_panics_causes_an_error_message_and_the_socket_stays_open() {
    the_socket_stays_open_after(Behavior::Panic).await;
    the_socket_stays_open_after(Behavior::PanicImmediately).await;
}

#[tokio::test]
async fn a_function_that_hangs_causes_an_error_message_and_the_socket_stays_open() {
    the_socket_stays_open_after(Behavior::Hang).await;
}

#[tokio::test]
async fn a_function_that_returns_invalid_json_causes_an_error_message_and_the_socket_stays_open() {
    the_socket_stays_open_after(Behavior::ReturnText("nonsense")).await;
    the_socket_stays_open_after(Behavior::ReturnText("")).await;
}

#[tokio::test]
async fn a_function_has_29_seconds_over_websocket_and_30_over_http() {
    assert_eq!(GatewayLimits::default().integration_timeout, Duration::from_secs(29));
    assert_eq!(GatewayLimits::default().http_integration_timeout, Duration::from_secs(30));
}

#[tokio::test]
async fn a_function_runs_no_longer_than_its_timeout_in_the_template() {
    let mut template = template(TEMPLATE);
    template.timeouts.insert("record".to_owned(), Duration::from_millis(50));
    template.timeouts.insert("echo".to_owned(), Duration::from_millis(50));
    let gateway = TestGateway::new(
        template,
        [("record", Behavior::Hang), ("echo", Behavior::Hang)],
        GatewayLimits::default(),
    )
    .await;
    let mut socket = gateway.connect().await;
    receives_an_error_message(&gateway, &mut socket).await;
    assert_eq!(gateway.get("/echo").await.status(), 503);
}

#[tokio::test]
async fn a_response_over_lambdas_limit_is_a_failure() {
    let response = Value::String("x".repeat(gateway::limits::RESPONSE_BYTES));
    let gateway = TestGateway::with_functions([
        ("record", Behavior::Return(response.clone())),
        ("echo", Behavior::Return(response)),
    ])
    .await;
    let mut socket = gateway.connect().await;
    receives_an_error_message(&gateway, &mut socket).await;
    assert_eq!(gateway.get("/echo").await.status(), 500);
}

#[tokio::test]
async fn hanging_functions_do_not_hold_back_pushes_or_a_close() {
    let gateway = TestGateway::with_functions([("record", Behavior::Hang)]).await;
    let mut socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    for _ in 0..=CONCURRENT_MESSAGES {
        socket.send(r#"{"action": "record"}"#).await;
    }
    for _ in 0..CONCURRENT_MESSAGES {
        gateway.event("record").await;
    }
    gateway.connections.post(&id, "pushed".into()).await.unwrap();
    assert_eq!(socket.receive().await, "pushed");
    gateway.connections.close(&id).await.unwrap();
    assert_eq!(socket.closed().await.0, 1000);
    assert!(!gateway.functions.has_event("record"), "more than the limit run at the same time");
}

#[tokio::test]
async fn a_failing_disconnect_function_does_not_affect_later_connections() {
    for failure in [Behavior::Fail, Behavior::Panic, Behavior::PanicImmediately, Behavior::Hang] {
        let gateway = TestGateway::new(template(TEMPLATE), [("disconnect", failure)], short_timeouts()).await;
        gateway.connect().await.close(None).await;
        gateway.event("disconnect").await;
        gateway.connect().await.close(None).await;
        gateway.event("disconnect").await;
    }
}
