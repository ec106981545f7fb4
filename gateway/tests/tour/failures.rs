//! A function that fails tells the client, and ends nothing but itself.

use std::time::Duration;

use gateway::limits::{CONCURRENT_MESSAGES, Limits};
use serde_json::Value;
use shared::push::Sockets;

use crate::harness::{Does, Socket, TEMPLATE, Tour, impatient, template};

async fn gets_the_error_frame(tour: &Tour, socket: &mut Socket) {
    socket.send(r#"{"action": "record"}"#).await;
    let event = tour.event("record").await;
    let [connection, request]: [&str; 2] =
        ["connectionId", "requestId"].map(|name| event["requestContext"][name].as_str().unwrap());
    let expected = format!(
        r#"{{"message": "Internal server error", "connectionId":"{connection}", "requestId":"{request}"}}"#
    );
    assert_eq!(socket.receive().await, expected);
}

async fn the_socket_outlives(failure: Does) {
    let tour = Tour::of(template(TEMPLATE), [("record", failure)], impatient()).await;
    let mut socket = tour.connect().await;
    // Twice: the socket lives after the first time.
    gets_the_error_frame(&tour, &mut socket).await;
    gets_the_error_frame(&tour, &mut socket).await;
    socket.send(r#"{"action": "other"}"#).await;
    tour.event("other").await;
    assert!(!tour.functions.has_event("disconnect"));
}

#[tokio::test]
async fn a_throwing_function_gives_the_error_frame_and_the_socket_lives() {
    the_socket_outlives(Does::Throw).await;
}

#[tokio::test]
async fn a_panicking_function_gives_the_error_frame_and_the_socket_lives() {
    the_socket_outlives(Does::Panic).await;
    the_socket_outlives(Does::PanicAtOnce).await;
}

#[tokio::test]
async fn a_hanging_function_gives_the_error_frame_and_the_socket_lives() {
    the_socket_outlives(Does::Hang).await;
}

#[tokio::test]
async fn a_function_whose_answer_is_no_json_gives_the_error_frame_and_the_socket_lives() {
    the_socket_outlives(Does::Say("nonsense")).await;
    the_socket_outlives(Does::Say("")).await;
}

#[tokio::test]
async fn a_function_is_given_29_seconds_by_websocket_and_30_by_http() {
    assert_eq!(Limits::default().integration_timeout, Duration::from_secs(29));
    assert_eq!(Limits::default().http_integration_timeout, Duration::from_secs(30));
}

#[tokio::test]
async fn a_function_is_given_no_longer_than_the_template_says() {
    let mut template = template(TEMPLATE);
    template.timeouts.insert("record".to_owned(), Duration::from_millis(50));
    template.timeouts.insert("echo".to_owned(), Duration::from_millis(50));
    let tour = Tour::of(template, [("record", Does::Hang), ("echo", Does::Hang)], Limits::default()).await;
    let mut socket = tour.connect().await;
    gets_the_error_frame(&tour, &mut socket).await;
    assert_eq!(tour.get("/echo").await.status(), 503);
}

#[tokio::test]
async fn an_answer_larger_than_lambda_carries_is_a_failure() {
    let answer = Value::String("x".repeat(gateway::limits::RESPONSE_BYTES));
    let tour = Tour::with([("record", Does::Answer(answer.clone())), ("echo", Does::Answer(answer))]).await;
    let mut socket = tour.connect().await;
    gets_the_error_frame(&tour, &mut socket).await;
    assert_eq!(tour.get("/echo").await.status(), 500);
}

#[tokio::test]
async fn hanging_functions_keep_a_socket_from_nothing() {
    let tour = Tour::with([("record", Does::Hang)]).await;
    let mut socket = tour.connect().await;
    let event = tour.event("connect").await;
    let id = event["requestContext"]["connectionId"].as_str().unwrap();
    for _ in 0..=CONCURRENT_MESSAGES {
        socket.send(r#"{"action": "record"}"#).await;
    }
    for _ in 0..CONCURRENT_MESSAGES {
        tour.event("record").await;
    }
    tour.connections.post(id, "pushed".into()).await.unwrap();
    assert_eq!(socket.receive().await, "pushed");
    tour.connections.close(id).await.unwrap();
    assert_eq!(socket.closed().await.0, 1000);
    assert!(!tour.functions.has_event("record"), "one more than may be under way");
}

#[tokio::test]
async fn a_failing_disconnect_function_ends_nothing() {
    for failure in [Does::Throw, Does::Panic, Does::PanicAtOnce, Does::Hang] {
        let tour = Tour::of(template(TEMPLATE), [("disconnect", failure)], impatient()).await;
        tour.connect().await.close(None).await;
        tour.event("disconnect").await;
        tour.connect().await.close(None).await;
        tour.event("disconnect").await;
    }
}
