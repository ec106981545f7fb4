//! The response of a function becomes an HTTP response.

use serde_json::{Value, json};

use crate::harness::{Behavior, RawConnection, TEMPLATE, TestGateway, short_timeouts, template};

async fn gateway_returning(response: Value) -> TestGateway {
    TestGateway::with_functions([("echo", Behavior::Return(response))]).await
}

#[tokio::test]
async fn a_response_has_the_functions_status_headers_and_body() {
    let gateway = gateway_returning(json!({
        "statusCode": 418,
        "headers": { "Content-Type": "text/html", "X-Number": 7, "X-Flag": true },
        "body": "<p>",
    }))
    .await;
    let response = gateway.get("/echo").await;
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.headers()["x-number"], "7");
    assert_eq!(response.headers()["x-flag"], "true");
    assert_eq!(response.text().await.unwrap(), "<p>");
}

#[tokio::test]
async fn a_body_without_a_type_is_plain_text() {
    let gateway = gateway_returning(json!({ "statusCode": 200, "body": "hello" })).await;
    let response = gateway.get("/echo").await;
    assert_eq!(response.headers()["content-type"], "text/plain;charset=UTF-8");
}

#[tokio::test]
async fn a_base64_body_is_decoded() {
    let gateway =
        gateway_returning(json!({ "statusCode": 200, "body": "AP8=", "isBase64Encoded": true })).await;
    assert_eq!(gateway.get("/echo").await.bytes().await.unwrap().as_ref(), b"\x00\xff");
}

#[tokio::test]
async fn cookies_become_set_cookie_headers_before_those_in_headers() {
    let gateway = gateway_returning(json!({
        "statusCode": 200,
        "headers": { "Set-Cookie": "c=3" },
        "cookies": ["a=1; HttpOnly", "b=2"],
    }))
    .await;
    let response = gateway.get("/echo").await;
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; HttpOnly", "b=2", "c=3"]);
}

#[tokio::test]
async fn framing_headers_of_the_function_are_ignored() {
    let headers = json!({ "content-length": "3", "transfer-encoding": "chunked", "connection": "close" });
    let gateway = gateway_returning(json!({ "statusCode": 200, "headers": headers, "body": "longer" })).await;
    assert_eq!(gateway.get_text("/echo").await, (200, "longer".to_owned()));
}

#[tokio::test]
async fn multi_value_headers_are_ignored() {
    let gateway =
        gateway_returning(json!({ "statusCode": 200, "multiValueHeaders": { "x-twice": ["1", "2"] } })).await;
    assert!(!gateway.get("/echo").await.headers().contains_key("x-twice"));
}

#[tokio::test]
async fn json_without_a_status_is_the_body_of_a_200() {
    let responses = [
        (json!({ "message": "Hello" }), r#"{"message":"Hello"}"#),
        (json!([1, 2]), "[1,2]"),
        (json!(42), "42"),
        (json!("Hello"), "Hello"),
    ];
    for (response, body) in responses {
        let gateway = gateway_returning(response).await;
        let response = gateway.get("/echo").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_function_that_fails_gives_500() {
    let failures = [
        Behavior::Fail,
        Behavior::Panic,
        Behavior::PanicImmediately,
        Behavior::ReturnText("nonsense"),
        Behavior::ReturnText(""),
        Behavior::Return(json!({ "statusCode": "yes" })),
        Behavior::Return(json!({ "statusCode": null })),
        Behavior::Return(json!({ "statusCode": 42 })),
        Behavior::Return(json!({ "statusCode": 101 })),
        Behavior::Return(json!({ "statusCode": 70_000 })),
        Behavior::Return(json!({ "statusCode": 200, "headers": "none" })),
        Behavior::Return(json!({ "statusCode": 200, "body": "?", "isBase64Encoded": true })),
    ];
    for failure in failures {
        let gateway = TestGateway::with_functions([("echo", failure.clone())]).await;
        let response = gateway.get("/echo").await;
        assert_eq!(response.status(), 500, "{failure:?}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.unwrap(), r#"{"message":"Internal Server Error"}"#);
    }
}

#[tokio::test]
async fn a_function_that_hangs_gives_503() {
    let gateway = TestGateway::new(template(TEMPLATE), [("echo", Behavior::Hang)], short_timeouts()).await;
    let expected = (503, r#"{"message":"Service Unavailable"}"#.to_owned());
    assert_eq!(gateway.get_text("/echo").await, expected);
}

#[tokio::test]
async fn a_request_without_a_route_gives_404() {
    let gateway = TestGateway::with_functions([]).await;
    let expected = (404, r#"{"message":"Not Found"}"#.to_owned());
    for path in ["/", "/nothing", "/echo/", "/echo/a/of", "/Echo"] {
        assert_eq!(gateway.get_text(path).await, expected, "{path}");
    }
    let response = reqwest::Client::new().delete(gateway.http_url("/echo")).send().await.unwrap();
    assert_eq!(response.status(), 404, "another method on a known path");
    assert!(!gateway.functions.has_event("echo") && !gateway.functions.has_event("connect"));
}

#[tokio::test]
async fn a_client_that_asks_to_close_receives_the_whole_response() {
    let gateway = gateway_returning(json!({ "statusCode": 200, "body": "whole" })).await;
    let mut raw = RawConnection::request(&gateway, &["GET /echo HTTP/1.1", "Connection: close"]).await;
    assert!(raw.rest().await.ends_with("\r\n\r\nwhole"));
}
