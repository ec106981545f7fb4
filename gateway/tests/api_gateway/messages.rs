//! Messages invoke the function of their route.

use std::sync::Arc;

use gateway::limits::GatewayLimits;
use serde_json::{Value, json};
use shared::base::push::Sockets;
use tokio::sync::Barrier;

use crate::harness::{Behavior, TEMPLATE, TIMEOUT, TestGateway, status, template};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_message_event_has_a_body_and_no_headers() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    let text = r#"{ "action" : "record", "note": "è" }"#;
    socket.send(text).await;
    let event = gateway.event("record").await;
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

/// The fields that every event of a connection has, as the gateway writes them.
fn start(gateway: &TestGateway, event: &Value, route_key: &str, event_type: &str) -> String {
    let context = &event["requestContext"];
    let text = |name: &str| context[name].as_str().unwrap();
    format!(
        concat!(
            r#"{{"requestContext":{{"routeKey":"{}","eventType":"{}","extendedRequestId":"{}","requestTime":"{}","#,
            r#""messageDirection":"IN","stage":"local","connectedAt":{},"requestTimeEpoch":{},"#,
            r#""identity":{{"sourceIp":"127.0.0.1","userAgent":"a \"test\""}},"requestId":"{}","#,
            r#""domainName":"{}","connectionId":"{}","apiId":"local""#
        ),
        route_key,
        event_type,
        text("requestId"),
        text("requestTime"),
        context["connectedAt"],
        context["requestTimeEpoch"],
        text("requestId"),
        gateway.address,
        text("connectionId"),
    )
}

#[tokio::test]
async fn the_events_of_a_socket_are_these_byte_for_byte() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.handshake("/?a=1", &[("user-agent", r#"a "test""#)]).await.unwrap().0;
    let connect = gateway.functions.raw_event("connect").await;
    let event: Value = serde_json::from_str(&connect).unwrap();
    let rest = connect.strip_prefix(&start(&gateway, &event, "$connect", "CONNECT")).expect(&connect);
    let [headers, all_headers] = ["headers", "multiValueHeaders"].map(|name| &event[name]);
    assert_eq!(
        rest,
        format!(
            r#"}},"isBase64Encoded":false,"headers":{headers},"multiValueHeaders":{all_headers},"queryStringParameters":{{"a":"1"}},"multiValueQueryStringParameters":{{"a":["1"]}}}}"#
        )
    );

    socket.send("{\"action\": \"record\",\n\t\"note\": \"\\u00e8 è 🙂 /\"}").await;
    let message = gateway.functions.raw_event("record").await;
    let event: Value = serde_json::from_str(&message).unwrap();
    let rest = message.strip_prefix(&start(&gateway, &event, "record", "MESSAGE")).expect(&message);
    let id = &event["requestContext"]["messageId"];
    let body = r#""{\"action\": \"record\",\n\t\"note\": \"\\u00e8 è 🙂 /\"}""#;
    assert_eq!(rest, format!(r#","messageId":{id}}},"isBase64Encoded":false,"body":{body}}}"#));

    socket.close(None).await;
    let disconnect = gateway.functions.raw_event("disconnect").await;
    let event: Value = serde_json::from_str(&disconnect).unwrap();
    let rest =
        disconnect.strip_prefix(&start(&gateway, &event, "$disconnect", "DISCONNECT")).expect(&disconnect);
    let host = gateway.address;
    assert_eq!(
        rest,
        format!(
            concat!(
                r#","disconnectStatusCode":1005,"disconnectReason":"Client-side close frame status not set"}},"#,
                r#""isBase64Encoded":false,"headers":{{"Host":"{}","x-api-key":"","X-Forwarded-For":"","#,
                r#""x-restapi":""}},"multiValueHeaders":{{"Host":["{}"],"x-api-key":[""],"#,
                r#""X-Forwarded-For":[""],"x-restapi":[""]}}}}"#
            ),
            host, host
        )
    );
}

#[tokio::test]
async fn every_event_of_a_connection_has_the_same_id_and_connected_at() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    socket.send(r#"{"action": "record"}"#).await;
    socket.send(r#"{"action": "record"}"#).await;
    let events =
        [gateway.event("connect").await, gateway.event("record").await, gateway.event("record").await];
    socket.close(None).await;
    let last = gateway.event("disconnect").await;

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
async fn two_messages_of_one_socket_are_handled_at_the_same_time() {
    let both = Arc::new(Barrier::new(3));
    let gateway = TestGateway::with_functions([("record", Behavior::Meet(both.clone()))]).await;
    let mut socket = gateway.connect().await;
    socket.send(r#"{"action": "record", "n": 1}"#).await;
    socket.send(r#"{"action": "record", "n": 2}"#).await;
    tokio::time::timeout(TIMEOUT, both.wait()).await.expect("both run at the same time");
}

#[tokio::test]
async fn a_message_without_a_route_is_forbidden_and_the_socket_stays_open() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    let messages = [
        r#"{"action": "nothing"}"#,
        r#"{"action": "$connect"}"#,
        r#"{"action": "$disconnect"}"#,
        r#"{"action": "$default"}"#,
        r#"{"no": "action"}"#,
        r#"["record"]"#,
        "record",
        "",
    ];
    for message in messages {
        socket.send(message).await;
        let frame = socket.receive().await;
        let start = format!(r#"{{"message": "Forbidden", "connectionId":"{id}", "requestId":""#);
        assert!(frame.starts_with(&start) && frame.ends_with(r#"="}"#), "{message}: {frame}");
    }
    assert!(!gateway.functions.has_event("connect") && !gateway.functions.has_event("disconnect"));
    socket.send(r#"{"action": "record"}"#).await;
    gateway.event("record").await;
}

#[tokio::test]
async fn the_default_route_takes_messages_that_no_other_route_takes() {
    let yaml = TEMPLATE.replace("        other:\n", "        $default:\n");
    let gateway = TestGateway::new(template(&yaml), [], GatewayLimits::default()).await;
    let mut socket = gateway.connect().await;
    for message in [r#"{"action": "nothing"}"#, r#"{"action": "$connect"}"#, "no JSON", "[1]", "{}"] {
        socket.send(message).await;
        let event = gateway.event("other").await;
        assert_eq!(event["body"], message);
        assert_eq!(event["requestContext"]["routeKey"], "$default");
    }
    socket.send(r#"{"action": "record"}"#).await;
    assert_eq!(gateway.event("record").await["requestContext"]["routeKey"], "record");
}

#[tokio::test]
async fn a_selected_number_is_compared_as_text() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    socket.send(r#"{"action": 42}"#).await;
    assert_eq!(gateway.event("number").await["requestContext"]["routeKey"], "42");
}

#[tokio::test]
async fn the_response_of_a_message_function_is_dropped() {
    let responses = [
        status(200),
        status(500),
        Behavior::Return(json!({ "statusCode": 200, "body": "not for the socket" })),
        Behavior::Return(json!({ "no": "statusCode" })),
        Behavior::Return(json!("nonsense")),
        Behavior::Return(Value::Null),
    ];
    for response in responses {
        let gateway = TestGateway::with_functions([("record", response.clone())]).await;
        let mut socket = gateway.connect().await;
        let id = gateway.connection_id().await;
        socket.send(r#"{"action": "record"}"#).await;
        gateway.event("record").await;
        socket.send("no route").await;
        assert!(socket.receive().await.contains("Forbidden"), "{response:?}");
        gateway.connections.close(&id).await.unwrap();
        assert_eq!(socket.closed().await.0, 1000, "{response:?}");
    }
}

#[tokio::test]
async fn invalid_utf_8_is_posted_with_replacement_characters() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    gateway.connections.post(&id, b"a\xffb".as_slice().into()).await.unwrap();
    assert_eq!(socket.receive().await, "a\u{fffd}b");
}
