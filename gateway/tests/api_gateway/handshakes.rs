//! `$connect` accepts or refuses a handshake.

use std::sync::Arc;

use gateway::limits::GatewayLimits;
use serde_json::{Value, json};
use shared::base::push::{NotDelivered, Sockets};
use tokio::sync::Notify;

use crate::harness::{
    Behavior, RawConnection, TEMPLATE, TestGateway, UPGRADE, short_timeouts, status, template,
};

#[tokio::test]
async fn a_refused_handshake_has_the_status_of_the_function() {
    for code in [301, 400, 401, 403, 429, 501] {
        let gateway = TestGateway::with_functions([("connect", status(code))]).await;
        assert_eq!(gateway.refused_status().await, code);
    }
}

#[tokio::test]
async fn every_2xx_opens_the_socket() {
    for code in [200, 201, 204, 299] {
        let gateway = TestGateway::with_functions([("connect", status(code))]).await;
        let (_, response) = gateway.handshake("/", &[]).await.unwrap();
        assert_eq!(response.status().as_u16(), 101);
    }
}

#[tokio::test]
async fn a_connect_function_that_fails_gives_502() {
    let failures = [
        Behavior::Fail,
        Behavior::Panic,
        Behavior::PanicImmediately,
        Behavior::Hang,
        Behavior::ReturnText("nonsense"),
        Behavior::ReturnText(""),
        Behavior::Return(json!("welcome")),
        Behavior::Return(json!({ "welcome": true })),
        Behavior::Return(Value::Null),
        status(42),
        status(101),
    ];
    for failure in failures {
        let gateway =
            TestGateway::new(template(TEMPLATE), [("connect", failure.clone())], short_timeouts()).await;
        assert_eq!(gateway.refused_status().await, 502, "{failure:?}");
    }
}

#[tokio::test]
async fn a_refusal_without_a_body_names_the_connection_and_the_request() {
    let gateway = TestGateway::with_functions([("connect", status(401))]).await;
    let refusal = gateway.handshake("/", &[]).await.err().unwrap();
    let event = gateway.event("connect").await;
    let [connection, request] =
        ["connectionId", "requestId"].map(|name| event["requestContext"][name].as_str().unwrap());
    let expected =
        format!(r#"{{"message": "Unauthorized", "connectionId":"{connection}", "requestId":"{request}"}}"#);
    assert_eq!(String::from_utf8(refusal.into_body().unwrap()).unwrap(), expected);
}

#[tokio::test]
async fn without_a_connect_route_every_socket_opens() {
    let yaml = TEMPLATE.replace("        $connect:\n          FunctionArn: !GetAtt Connect.Arn\n", "");
    let gateway = TestGateway::new(template(&yaml), [], GatewayLimits::default()).await;
    let mut socket = gateway.connect().await;
    socket.send(r#"{"action": "record"}"#).await;
    gateway.event("record").await;
}

#[tokio::test]
async fn the_connect_event_has_the_clients_headers_and_query() {
    let gateway = TestGateway::with_functions([]).await;
    let headers = [("x-twice", "one"), ("x-twice", "two"), ("x--odd-", "3"), ("user-agent", "test")];
    let _open = gateway.handshake("/?token=a%20b&room=1&room=2", &headers).await.unwrap();
    let event = gateway.event("connect").await;

    let host = gateway.address.to_string();
    assert_eq!(event["headers"]["Host"], host);
    assert_eq!(event["headers"]["X-Twice"], "two");
    assert_eq!(event["headers"]["X--Odd-"], "3");
    assert_eq!(event["headers"]["Sec-WebSocket-Version"], "13");
    assert_eq!(event["headers"]["X-Forwarded-For"], "127.0.0.1");
    assert_eq!(event["headers"]["X-Forwarded-Proto"], "http");
    assert_eq!(event["headers"]["X-Forwarded-Port"], gateway.address.port().to_string());
    assert!(event["headers"]["X-Amzn-Trace-Id"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!(event["multiValueHeaders"]["X-Twice"], json!(["one", "two"]));
    for name in ["Connection", "Upgrade"] {
        assert_eq!(event["headers"].get(name), None, "{name} is a hop-by-hop header");
    }
    assert_eq!(event["queryStringParameters"], json!({ "token": "a b", "room": "2" }));
    assert_eq!(event["multiValueQueryStringParameters"], json!({ "token": ["a b"], "room": ["1", "2"] }));
    assert_eq!(event["isBase64Encoded"], false);

    let context = &event["requestContext"];
    assert_eq!(context["routeKey"], "$connect");
    assert_eq!(context["eventType"], "CONNECT");
    assert_eq!(context["messageDirection"], "IN");
    assert_eq!(context["extendedRequestId"], context["requestId"]);
    assert_eq!(context["identity"], json!({ "sourceIp": "127.0.0.1", "userAgent": "test" }));
    assert_eq!(context["domainName"], host);
    assert_eq!(context.get("messageId"), None);
}

#[tokio::test]
async fn a_connect_event_without_a_query_has_no_query_fields() {
    let gateway = TestGateway::with_functions([]).await;
    let _open = gateway.connect().await;
    let event = gateway.event("connect").await;
    assert_eq!(event.get("queryStringParameters"), None);
    assert_eq!(event.get("multiValueQueryStringParameters"), None);
}

#[tokio::test]
async fn a_subprotocol_is_accepted_only_if_the_function_chooses_it() {
    let offer = [&UPGRADE[..], &["Sec-WebSocket-Protocol: chat, superchat"]].concat();
    let gateway = TestGateway::with_functions([]).await;
    let (code, headers) = RawConnection::request(&gateway, &offer).await.head().await;
    assert_eq!(code, 101);
    assert!(!headers.iter().any(|line| line.starts_with("sec-websocket-protocol")), "{headers:?}");
    let event = gateway.event("connect").await;
    assert_eq!(event["headers"]["Sec-WebSocket-Protocol"], "chat, superchat");

    let responses = [
        json!({ "statusCode": 200, "headers": { "sec-websocket-protocol": "chat" } }),
        json!({ "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": "chat" } }),
        json!({ "statusCode": 200, "multiValueHeaders": { "Sec-WebSocket-Protocol": ["chat"] } }),
    ];
    for response in responses {
        let gateway = TestGateway::with_functions([("connect", Behavior::Return(response))]).await;
        let (code, headers) = RawConnection::request(&gateway, &offer).await.head().await;
        assert_eq!(code, 101);
        assert!(headers.contains(&"sec-websocket-protocol: chat".to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn a_connection_does_not_exist_until_connect_has_succeeded() {
    let connect = Arc::new(Notify::new());
    let gateway = TestGateway::with_functions([("connect", Behavior::WaitFor(connect.clone()))]).await;
    let opening = async {
        let event = gateway.event("connect").await;
        let id = event["requestContext"]["connectionId"].as_str().unwrap().to_owned();
        assert_eq!(gateway.connections.post(&id, "too early".into()).await, Err(NotDelivered::Gone));
        assert_eq!(gateway.connections.close(&id).await, Err(NotDelivered::Gone));
        connect.notify_one();
        id
    };
    let (mut socket, id) = tokio::join!(gateway.connect(), opening);
    assert_eq!(gateway.connections.post(&id, "in time".into()).await, Ok(()));
    assert_eq!(socket.receive().await, "in time");
}

#[tokio::test]
async fn a_client_that_leaves_during_its_handshake_causes_a_disconnect_event() {
    let connect = Arc::new(Notify::new());
    let gateway = TestGateway::with_functions([("connect", Behavior::WaitFor(connect.clone()))]).await;
    let client = RawConnection::request(&gateway, &UPGRADE).await;
    let connected = gateway.event("connect").await;
    client.leave().await;
    connect.notify_one();
    let disconnected = gateway.event("disconnect").await;
    assert_eq!(disconnected["requestContext"]["disconnectStatusCode"], 1006);
    assert_eq!(disconnected["requestContext"]["connectionId"], connected["requestContext"]["connectionId"]);
}

#[tokio::test]
async fn a_handshake_at_another_path_is_forbidden() {
    let gateway = TestGateway::with_functions([]).await;
    let refusal = gateway.handshake("/echo", &[]).await.err().unwrap();
    assert_eq!(refusal.status().as_u16(), 403);
    assert_eq!(refusal.into_body().unwrap(), br#"{"message":"Forbidden"}"#);
    assert!(!gateway.functions.has_event("connect"));
}

#[tokio::test]
async fn compression_is_not_negotiated() {
    let gateway = TestGateway::with_functions([]).await;
    let lines = [&UPGRADE[..], &["Sec-WebSocket-Extensions: permessage-deflate"]].concat();
    let (code, headers) = RawConnection::request(&gateway, &lines).await.head().await;
    assert_eq!(code, 101);
    assert!(!headers.iter().any(|line| line.starts_with("sec-websocket-extensions")));
    let event = gateway.event("connect").await;
    assert_eq!(event["headers"]["Sec-WebSocket-Extensions"], "permessage-deflate");
}
