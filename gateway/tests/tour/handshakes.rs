//! `$connect` decides the handshake.

use std::sync::Arc;

use gateway::limits::Limits;
use serde_json::{Value, json};
use shared::base::push::{NotDelivered, Sockets};
use tokio::sync::Notify;

use crate::harness::{Does, Raw, TEMPLATE, Tour, UPGRADE, impatient, status, template};

#[tokio::test]
async fn the_status_of_a_handshake_is_the_functions() {
    for code in [301, 400, 401, 403, 429, 501] {
        let tour = Tour::with([("connect", status(code))]).await;
        assert_eq!(tour.refusal().await, code);
    }
}

#[tokio::test]
async fn every_2xx_opens_the_socket() {
    for code in [200, 201, 204, 299] {
        let tour = Tour::with([("connect", status(code))]).await;
        let (_, response) = tour.handshake("/", &[]).await.unwrap();
        assert_eq!(response.status().as_u16(), 101);
    }
}

#[tokio::test]
async fn a_connect_function_that_fails_gives_502() {
    let failures = [
        Does::Throw,
        Does::Panic,
        Does::PanicAtOnce,
        Does::Hang,
        Does::Say("nonsense"),
        Does::Say(""),
        Does::Answer(json!("welcome")),
        Does::Answer(json!({ "welcome": true })),
        Does::Answer(Value::Null),
        status(42),
        status(101),
    ];
    for failure in failures {
        let tour = Tour::of(template(TEMPLATE), [("connect", failure.clone())], impatient()).await;
        assert_eq!(tour.refusal().await, 502, "{failure:?}");
    }
}

#[tokio::test]
async fn a_refusal_without_a_body_names_the_connection_and_the_request() {
    let tour = Tour::with([("connect", status(401))]).await;
    let refusal = tour.handshake("/", &[]).await.err().unwrap();
    let event = tour.event("connect").await;
    let [connection, request] =
        ["connectionId", "requestId"].map(|name| event["requestContext"][name].as_str().unwrap());
    let expected =
        format!(r#"{{"message": "Unauthorized", "connectionId":"{connection}", "requestId":"{request}"}}"#);
    assert_eq!(String::from_utf8(refusal.into_body().unwrap()).unwrap(), expected);
}

#[tokio::test]
async fn without_a_connect_route_every_socket_opens() {
    let yaml = TEMPLATE.replace("        $connect:\n          FunctionArn: !GetAtt Connect.Arn\n", "");
    let tour = Tour::of(template(&yaml), [], Limits::default()).await;
    let mut socket = tour.connect().await;
    socket.send(r#"{"action": "record"}"#).await;
    tour.event("record").await;
}

#[tokio::test]
async fn the_connect_event_has_the_clients_headers_and_query() {
    let tour = Tour::with([]).await;
    let headers = [("x-twice", "one"), ("x-twice", "two"), ("x--odd-", "3"), ("user-agent", "tour")];
    let _open = tour.handshake("/?token=a%20b&room=1&room=2", &headers).await.unwrap();
    let event = tour.event("connect").await;

    let host = tour.address.to_string();
    assert_eq!(event["headers"]["Host"], host);
    assert_eq!(event["headers"]["X-Twice"], "two");
    assert_eq!(event["headers"]["X--Odd-"], "3");
    assert_eq!(event["headers"]["Sec-WebSocket-Version"], "13");
    assert_eq!(event["headers"]["X-Forwarded-For"], "127.0.0.1");
    assert_eq!(event["headers"]["X-Forwarded-Proto"], "http");
    assert_eq!(event["headers"]["X-Forwarded-Port"], tour.address.port().to_string());
    assert!(event["headers"]["X-Amzn-Trace-Id"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!(event["multiValueHeaders"]["X-Twice"], json!(["one", "two"]));
    for name in ["Connection", "Upgrade"] {
        assert_eq!(event["headers"].get(name), None, "{name} belongs to the hop");
    }
    assert_eq!(event["queryStringParameters"], json!({ "token": "a b", "room": "2" }));
    assert_eq!(event["multiValueQueryStringParameters"], json!({ "token": ["a b"], "room": ["1", "2"] }));
    assert_eq!(event["isBase64Encoded"], false);

    let context = &event["requestContext"];
    assert_eq!(context["routeKey"], "$connect");
    assert_eq!(context["eventType"], "CONNECT");
    assert_eq!(context["messageDirection"], "IN");
    assert_eq!(context["extendedRequestId"], context["requestId"]);
    assert_eq!(context["identity"], json!({ "sourceIp": "127.0.0.1", "userAgent": "tour" }));
    assert_eq!(context["domainName"], host);
    assert_eq!(context.get("messageId"), None);
}

#[tokio::test]
async fn a_connect_event_without_a_query_has_none() {
    let tour = Tour::with([]).await;
    let _open = tour.connect().await;
    let event = tour.event("connect").await;
    assert_eq!(event.get("queryStringParameters"), None);
    assert_eq!(event.get("multiValueQueryStringParameters"), None);
}

#[tokio::test]
async fn a_subprotocol_is_echoed_only_if_the_function_says_so() {
    let offer = [&UPGRADE[..], &["Sec-WebSocket-Protocol: chat, superchat"]].concat();
    let silent = Tour::with([]).await;
    let (code, headers) = Raw::request(&silent, &offer).await.head().await;
    assert_eq!(code, 101);
    assert!(!headers.iter().any(|line| line.starts_with("sec-websocket-protocol")), "{headers:?}");
    let event = silent.event("connect").await;
    assert_eq!(event["headers"]["Sec-WebSocket-Protocol"], "chat, superchat");

    let answers = [
        json!({ "statusCode": 200, "headers": { "sec-websocket-protocol": "chat" } }),
        json!({ "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": "chat" } }),
        json!({ "statusCode": 200, "multiValueHeaders": { "Sec-WebSocket-Protocol": ["chat"] } }),
    ];
    for answer in answers {
        let tour = Tour::with([("connect", Does::Answer(answer))]).await;
        let (code, headers) = Raw::request(&tour, &offer).await.head().await;
        assert_eq!(code, 101);
        assert!(headers.contains(&"sec-websocket-protocol: chat".to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn a_connection_is_gone_until_connect_has_answered() {
    let word = Arc::new(Notify::new());
    let tour = Tour::with([("connect", Does::AwaitWord(word.clone()))]).await;
    let opening = async {
        let event = tour.event("connect").await;
        let id = event["requestContext"]["connectionId"].as_str().unwrap().to_owned();
        assert_eq!(tour.connections.post(&id, "too early".into()).await, Err(NotDelivered::Gone));
        assert_eq!(tour.connections.close(&id).await, Err(NotDelivered::Gone));
        word.notify_one();
        id
    };
    let (mut socket, id) = tokio::join!(tour.connect(), opening);
    assert_eq!(tour.connections.post(&id, "in time".into()).await, Ok(()));
    assert_eq!(socket.receive().await, "in time");
}

#[tokio::test]
async fn a_client_that_leaves_during_its_handshake_is_disconnected() {
    let word = Arc::new(Notify::new());
    let tour = Tour::with([("connect", Does::AwaitWord(word.clone()))]).await;
    let client = Raw::request(&tour, &UPGRADE).await;
    let connected = tour.event("connect").await;
    client.leave().await;
    word.notify_one();
    let disconnected = tour.event("disconnect").await;
    assert_eq!(disconnected["requestContext"]["disconnectStatusCode"], 1006);
    assert_eq!(disconnected["requestContext"]["connectionId"], connected["requestContext"]["connectionId"]);
}

#[tokio::test]
async fn a_handshake_at_another_path_is_forbidden() {
    let tour = Tour::with([]).await;
    let refusal = tour.handshake("/echo", &[]).await.err().unwrap();
    assert_eq!(refusal.status().as_u16(), 403);
    assert_eq!(refusal.into_body().unwrap(), br#"{"message":"Forbidden"}"#);
    assert!(!tour.functions.has_event("connect"));
}

#[tokio::test]
async fn compression_is_not_negotiated() {
    let tour = Tour::with([]).await;
    let lines = [&UPGRADE[..], &["Sec-WebSocket-Extensions: permessage-deflate"]].concat();
    let (code, headers) = Raw::request(&tour, &lines).await.head().await;
    assert_eq!(code, 101);
    assert!(!headers.iter().any(|line| line.starts_with("sec-websocket-extensions")));
    let event = tour.event("connect").await;
    assert_eq!(event["headers"]["Sec-WebSocket-Extensions"], "permessage-deflate");
}
