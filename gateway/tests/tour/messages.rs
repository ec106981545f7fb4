//! Messages go to the function of their route.

use std::sync::Arc;

use gateway::limits::Limits;
use serde_json::{Value, json};
use shared::push::Sockets;
use tokio::sync::Barrier;

use crate::harness::{Does, TEMPLATE, Tour, status, template};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_message_event_has_a_body_and_no_headers() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    let text = r#"{ "action" : "record", "note": "è" }"#;
    socket.send(text).await;
    let event = tour.event("record").await;
    assert_eq!(keys(&event), ["body", "isBase64Encoded", "requestContext"]);
    assert_eq!(event["body"], text);
    assert_eq!(event["isBase64Encoded"], false);
    let context = &event["requestContext"];
    let expected = [
        "apiId",
        "connectedAt",
        "connectionId",
        "domainName",
        "eventType",
        "extendedRequestId",
        "identity",
        "messageDirection",
        "messageId",
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "routeKey",
        "stage",
    ];
    assert_eq!(keys(context), expected);
    assert_eq!(context["routeKey"], "record");
    assert_eq!(context["eventType"], "MESSAGE");
    assert_eq!(context["messageDirection"], "IN");
    assert_eq!(context["extendedRequestId"], context["requestId"]);
}

#[tokio::test]
async fn one_connection_has_one_id_and_one_connected_at() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    socket.send(r#"{"action": "record"}"#).await;
    socket.send(r#"{"action": "record"}"#).await;
    let events = [tour.event("connect").await, tour.event("record").await, tour.event("record").await];
    socket.close(None).await;
    let last = tour.event("disconnect").await;

    let id = last["requestContext"]["connectionId"].as_str().unwrap();
    assert!(id.len() == 16 && id.ends_with('='), "{id}");
    for event in &events {
        assert_eq!(event["requestContext"]["connectionId"], id);
        assert_eq!(event["requestContext"]["connectedAt"], last["requestContext"]["connectedAt"]);
        assert_ne!(event["requestContext"]["requestId"], last["requestContext"]["requestId"]);
    }
    assert_ne!(events[1]["requestContext"]["messageId"], events[2]["requestContext"]["messageId"]);
}

#[tokio::test]
async fn two_messages_of_one_socket_run_at_once() {
    let meeting = Arc::new(Barrier::new(3));
    let tour = Tour::with([("record", Does::Meet(meeting.clone()))]).await;
    let mut socket = tour.connect().await;
    socket.send(r#"{"action": "record", "n": 1}"#).await;
    socket.send(r#"{"action": "record", "n": 2}"#).await;
    tokio::time::timeout(crate::harness::PATIENCE, meeting.wait()).await.expect("both are under way");
}

#[tokio::test]
async fn a_message_without_a_route_is_forbidden_and_the_socket_lives() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    let event = tour.event("connect").await;
    let id = event["requestContext"]["connectionId"].as_str().unwrap();
    let strays = [
        r#"{"action": "nothing"}"#,
        r#"{"action": "$connect"}"#,
        r#"{"action": "$disconnect"}"#,
        r#"{"action": "$default"}"#,
        r#"{"no": "action"}"#,
        r#"["record"]"#,
        "record",
        "",
    ];
    for stray in strays {
        socket.send(stray).await;
        let frame = socket.receive().await;
        let start = format!(r#"{{"message": "Forbidden", "connectionId":"{id}", "requestId":""#);
        assert!(frame.starts_with(&start) && frame.ends_with(r#"="}"#), "{stray}: {frame}");
    }
    assert!(!tour.functions.has_event("connect") && !tour.functions.has_event("disconnect"));
    socket.send(r#"{"action": "record"}"#).await;
    tour.event("record").await;
}

#[tokio::test]
async fn the_default_route_takes_what_no_other_does() {
    let yaml = TEMPLATE.replace("        other:\n", "        $default:\n");
    let tour = Tour::of(template(&yaml), [], Limits::default()).await;
    let mut socket = tour.connect().await;
    for stray in [r#"{"action": "nothing"}"#, r#"{"action": "$connect"}"#, "no JSON", "[1]", "{}"] {
        socket.send(stray).await;
        let event = tour.event("other").await;
        assert_eq!(event["body"], stray);
        assert_eq!(event["requestContext"]["routeKey"], "$default");
    }
    socket.send(r#"{"action": "record"}"#).await;
    assert_eq!(tour.event("record").await["requestContext"]["routeKey"], "record");
}

#[tokio::test]
async fn a_selected_value_that_is_no_text_counts_as_its_text() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    socket.send(r#"{"action": 42}"#).await;
    assert_eq!(tour.event("number").await["requestContext"]["routeKey"], "42");
}

#[tokio::test]
async fn what_a_message_function_answers_is_dropped() {
    let answers = [
        status(200),
        status(500),
        Does::Answer(json!({ "statusCode": 200, "body": "not for the socket" })),
        Does::Answer(json!({ "no": "statusCode" })),
        Does::Answer(json!("nonsense")),
        Does::Answer(Value::Null),
    ];
    for answer in answers {
        let tour = Tour::with([("record", answer.clone())]).await;
        let mut socket = tour.connect().await;
        let event = tour.event("connect").await;
        let id = event["requestContext"]["connectionId"].as_str().unwrap();
        socket.send(r#"{"action": "record"}"#).await;
        tour.event("record").await;
        socket.send("no route").await;
        assert!(socket.receive().await.contains("Forbidden"), "{answer:?}");
        tour.connections.close(id).await.unwrap();
        assert_eq!(socket.closed().await.0, 1000, "{answer:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_posted_with_replacement_characters() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    let event = tour.event("connect").await;
    let id = event["requestContext"]["connectionId"].as_str().unwrap();
    tour.connections.post(id, b"a\xffb".as_slice().into()).await.unwrap();
    assert_eq!(socket.receive().await, "a\u{fffd}b");
}
