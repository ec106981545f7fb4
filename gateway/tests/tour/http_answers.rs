//! What a function answers becomes the response.

use serde_json::{Value, json};

use crate::harness::{Does, Raw, TEMPLATE, Tour, impatient, template};

async fn answering(answer: Value) -> Tour {
    Tour::with([("echo", Does::Answer(answer))]).await
}

#[tokio::test]
async fn status_headers_and_body_are_the_functions() {
    let tour = answering(json!({
        "statusCode": 418,
        "headers": { "Content-Type": "text/html", "X-Number": 7, "X-Flag": true },
        "body": "<p>",
    }))
    .await;
    let response = tour.get("/echo").await;
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.headers()["x-number"], "7");
    assert_eq!(response.headers()["x-flag"], "true");
    assert_eq!(response.text().await.unwrap(), "<p>");
}

#[tokio::test]
async fn a_body_without_a_type_is_plain_text() {
    let tour = answering(json!({ "statusCode": 200, "body": "hello" })).await;
    let response = tour.get("/echo").await;
    assert_eq!(response.headers()["content-type"], "text/plain;charset=UTF-8");
}

#[tokio::test]
async fn a_base64_body_is_decoded() {
    let tour = answering(json!({ "statusCode": 200, "body": "AP8=", "isBase64Encoded": true })).await;
    assert_eq!(tour.get("/echo").await.bytes().await.unwrap().as_ref(), b"\x00\xff");
}

#[tokio::test]
async fn each_cookie_is_a_set_cookie_before_those_of_the_headers() {
    let tour = answering(json!({
        "statusCode": 200,
        "headers": { "Set-Cookie": "c=3" },
        "cookies": ["a=1; HttpOnly", "b=2"],
    }))
    .await;
    let response = tour.get("/echo").await;
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; HttpOnly", "b=2", "c=3"]);
}

#[tokio::test]
async fn headers_that_frame_the_response_are_not_the_functions() {
    let headers = json!({ "content-length": "3", "transfer-encoding": "chunked", "connection": "close" });
    let tour = answering(json!({ "statusCode": 200, "headers": headers, "body": "longer" })).await;
    assert_eq!(tour.get_text("/echo").await, (200, "longer".to_owned()));
}

#[tokio::test]
async fn multi_value_headers_belong_to_format_1_0() {
    let tour = answering(json!({ "statusCode": 200, "multiValueHeaders": { "x-twice": ["1", "2"] } })).await;
    assert!(!tour.get("/echo").await.headers().contains_key("x-twice"));
}

#[tokio::test]
async fn json_without_a_status_is_the_body_of_a_200() {
    let answers = [
        (json!({ "message": "Hello" }), r#"{"message":"Hello"}"#),
        (json!([1, 2]), "[1,2]"),
        (json!(42), "42"),
        (json!("Hello"), "Hello"),
    ];
    for (answer, body) in answers {
        let tour = answering(answer).await;
        let response = tour.get("/echo").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_function_that_fails_gives_500() {
    let failures = [
        Does::Throw,
        Does::Panic,
        Does::PanicAtOnce,
        Does::Say("nonsense"),
        Does::Say(""),
        Does::Answer(json!({ "statusCode": "yes" })),
        Does::Answer(json!({ "statusCode": null })),
        Does::Answer(json!({ "statusCode": 42 })),
        Does::Answer(json!({ "statusCode": 101 })),
        Does::Answer(json!({ "statusCode": 70_000 })),
        Does::Answer(json!({ "statusCode": 200, "headers": "none" })),
        Does::Answer(json!({ "statusCode": 200, "body": "?", "isBase64Encoded": true })),
    ];
    for failure in failures {
        let tour = Tour::with([("echo", failure.clone())]).await;
        let response = tour.get("/echo").await;
        assert_eq!(response.status(), 500, "{failure:?}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.unwrap(), r#"{"message":"Internal Server Error"}"#);
    }
}

#[tokio::test]
async fn a_function_that_hangs_gives_503() {
    let tour = Tour::of(template(TEMPLATE), [("echo", Does::Hang)], impatient()).await;
    let expected = (503, r#"{"message":"Service Unavailable"}"#.to_owned());
    assert_eq!(tour.get_text("/echo").await, expected);
}

#[tokio::test]
async fn a_request_without_a_route_gives_404() {
    let tour = Tour::with([]).await;
    let expected = (404, r#"{"message":"Not Found"}"#.to_owned());
    for path in ["/", "/nothing", "/echo/", "/echo/a/of", "/Echo"] {
        assert_eq!(tour.get_text(path).await, expected, "{path}");
    }
    let response = reqwest::Client::new().delete(tour.http_url("/echo")).send().await.unwrap();
    assert_eq!(response.status(), 404, "another method on a path that is known");
    assert!(!tour.functions.has_event("echo") && !tour.functions.has_event("connect"));
}

#[tokio::test]
async fn an_answer_to_a_client_that_closes_is_whole() {
    let tour = answering(json!({ "statusCode": 200, "body": "whole" })).await;
    let mut raw = Raw::request(&tour, &["GET /echo HTTP/1.1", "Connection: close"]).await;
    assert!(raw.rest().await.ends_with("\r\n\r\nwhole"));
}
