//! HTTP requests become events of payload format 2.0.

use gateway::limits::EVENT_BYTES;
use serde_json::{Value, json};

use crate::harness::{RawConnection, TestGateway};

async fn event_of_post(gateway: &TestGateway, content_type: Option<&str>, body: &'static [u8]) -> Value {
    let mut request = reqwest::Client::new().post(gateway.http_url("/echo")).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    gateway.event("echo").await
}

#[tokio::test]
async fn a_body_of_a_text_type_arrives_as_text() {
    let gateway = TestGateway::with_functions([]).await;
    let types = [
        "text/plain",
        "text/csv; charset=utf-8",
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/xml",
        "application/javascript",
    ];
    for content_type in types {
        let event = event_of_post(&gateway, Some(content_type), "grün".as_bytes()).await;
        assert_eq!(event["body"], "grün", "{content_type}");
        assert_eq!(event["isBase64Encoded"], false, "{content_type}");
    }
}

#[tokio::test]
async fn a_body_of_any_other_type_arrives_in_base64() {
    let gateway = TestGateway::with_functions([]).await;
    let types = [
        None,
        Some("application/octet-stream"),
        Some("application/x-www-form-urlencoded"),
        Some("application/problem+json"),
        Some("multipart/form-data; boundary=b"),
        Some("image/png"),
    ];
    for content_type in types {
        let event = event_of_post(&gateway, content_type, b"a=b").await;
        assert_eq!(event["body"], "YT1i", "{content_type:?}");
        assert_eq!(event["isBase64Encoded"], true, "{content_type:?}");
    }
    let event = event_of_post(&gateway, Some("text/plain"), b"\xff").await;
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/w=="), &json!(true)));
}

#[tokio::test]
async fn missing_parts_of_a_request_are_absent_from_the_event() {
    let gateway = TestGateway::with_functions([]).await;
    assert_eq!(gateway.get("/echo").await.status(), 200);
    let event = gateway.event("echo").await;
    for name in ["body", "queryStringParameters", "pathParameters", "cookies", "stageVariables"] {
        assert_eq!(event.get(name), None, "{name}");
    }
    assert_eq!(event["rawQueryString"], "");
    assert_eq!(event["isBase64Encoded"], false);
}

#[tokio::test]
async fn header_names_are_lowercased_and_duplicates_joined() {
    let gateway = TestGateway::with_functions([]).await;
    let lines = [
        "GET /echo HTTP/1.1",
        "X-MiXeD: one",
        "x-mixed: two",
        "Cookie: a=1; b=2",
        "Cookie: c=3",
        "X-Forwarded-For: 203.0.113.7",
        "Connection: close",
    ];
    assert_eq!(RawConnection::request(&gateway, &lines).await.head().await.0, 200);
    let event = gateway.event("echo").await;
    assert_eq!(event["headers"]["x-mixed"], "one,two");
    assert_eq!(event["headers"]["host"], "gateway.test");
    assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
    assert_eq!(event["headers"].get("cookie"), None);
    assert_eq!(event.get("multiValueHeaders"), None);
    assert_eq!(event["headers"]["x-forwarded-for"], "203.0.113.7, 127.0.0.1");
    assert_eq!(event["headers"]["x-forwarded-proto"], "http");
    assert_eq!(event["headers"]["x-forwarded-port"], "80");
    assert!(event["headers"]["x-amzn-trace-id"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
}

#[tokio::test]
async fn a_query_is_decoded_and_duplicates_joined() {
    let gateway = TestGateway::with_functions([]).await;
    assert_eq!(gateway.get("/echo?a=1&b=x%20y+z&a=2&c").await.status(), 200);
    let event = gateway.event("echo").await;
    assert_eq!(event["rawQueryString"], "a=1&b=x%20y+z&a=2&c");
    assert_eq!(event["queryStringParameters"], json!({ "a": "1,2", "b": "x y z", "c": "" }));
}

#[tokio::test]
async fn a_raw_path_is_decoded_except_for_percent_25() {
    let gateway = TestGateway::with_functions([]).await;
    assert_eq!(gateway.get("/echo/a%20b%2Fc/of/50%25%C3%A9").await.status(), 200);
    let event = gateway.event("echo").await;
    assert_eq!(event["rawPath"], "/echo/a b/c/of/50%25é");
    assert_eq!(event["requestContext"]["http"]["path"], event["rawPath"]);
    assert_eq!(event["pathParameters"], json!({ "item": "a b/c", "owner": "50%é" }));
    assert_eq!(event["routeKey"], "GET /echo/{item}/of/{owner}");
}

#[tokio::test]
async fn an_event_has_the_context_of_payload_2_0() {
    let gateway = TestGateway::with_functions([]).await;
    let client = reqwest::Client::builder().user_agent("test").build().unwrap();
    client.get(gateway.http_url("/echo")).send().await.unwrap();
    let event = gateway.event("echo").await;
    assert_eq!(event["version"], "2.0");
    let context = &event["requestContext"];
    assert_eq!(context["routeKey"], "GET /echo");
    assert_eq!(context["stage"], "$default");
    assert_eq!(context["domainName"], gateway.address.to_string());
    let http = &context["http"];
    assert_eq!(http["method"], "GET");
    assert_eq!(http["protocol"], "HTTP/1.1");
    assert_eq!(http["userAgent"], "test");
    assert!(context["timeEpoch"].is_i64() && context["time"].as_str().unwrap().ends_with(" +0000"));
    assert!(context["accountId"].is_string() && context["apiId"].is_string());
}

#[tokio::test]
async fn a_body_that_is_too_large_gives_413() {
    let gateway = TestGateway::with_functions([]).await;
    // Text as long as a whole event may be, bytes that are too long only in base64, and a body over 10 MB.
    let text = "x".repeat(EVENT_BYTES);
    let bytes = vec![0; EVENT_BYTES * 3 / 4 + 1];
    let over_10_mb = vec![0; 10 * 1024 * 1024 + 1];
    for (content_type, body) in
        [("text/plain", text.into_bytes()), ("image/png", bytes), ("image/png", over_10_mb)]
    {
        let request =
            reqwest::Client::new().post(gateway.http_url("/echo")).header("content-type", content_type);
        let response = request.body(body).send().await.expect("a response, not a reset connection");
        assert_eq!(response.status(), 413);
        assert_eq!(response.text().await.unwrap(), r#"{"message":"Request Entity Too Large"}"#);
    }
    assert!(!gateway.functions.has_event("echo"));
}

#[tokio::test]
async fn a_body_just_small_enough_arrives() {
    let gateway = TestGateway::with_functions([]).await;
    let body = "x".repeat(EVENT_BYTES - 4096);
    let request = reqwest::Client::new().post(gateway.http_url("/echo")).header("content-type", "text/plain");
    assert_eq!(request.body(body).send().await.unwrap().status(), 200);
}
