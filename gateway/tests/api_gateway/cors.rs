//! CORS from the template's `CorsConfiguration`. The gateway responds to preflight requests itself and
//! ignores the CORS headers of functions.

use gateway::limits::GatewayLimits;
use gateway::template::BUILT_IN;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{Behavior, TEMPLATE, TestGateway, template};

const ORIGIN: &str = "https://app.example";

/// A gateway whose HTTP API has this CORS configuration, given as the lines of a YAML mapping.
async fn gateway_with_cors(configuration: &[&str]) -> TestGateway {
    let lines: String = configuration.iter().map(|line| format!("\n        {line}")).collect();
    let yaml = TEMPLATE.replace(
        "      StageName: $default",
        &format!("      StageName: $default\n      CorsConfiguration:{lines}"),
    );
    let response = json!({
        "statusCode": 200,
        "headers": {
            "Access-Control-Allow-Origin": "https://function.example",
            "Access-Control-Expose-Headers": "x-function",
            "Access-Control-Max-Age": "1",
            "X-Own": "kept",
        },
    });
    TestGateway::new(template(&yaml), [("echo", Behavior::Return(response))], GatewayLimits::default()).await
}

async fn send(gateway: &TestGateway, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = reqwest::Client::new().request(method, gateway.http_url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn preflight(gateway: &TestGateway, path: &str, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    send(gateway, Method::OPTIONS, path, &headers).await
}

/// The CORS headers without their prefix, sorted.
fn cors_headers(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> = headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("access-control-")?;
            Some(format!("{name}: {}", value.to_str().unwrap()))
        })
        .collect();
    lines.sort();
    lines
}

const CONFIGURATION: [&str; 6] = [
    "AllowOrigins: [\"https://app.example\", \"https://other.example\"]",
    "AllowMethods: [GET, POST]",
    "AllowHeaders: [authorization, content-type]",
    "ExposeHeaders: [x-request-id, date]",
    "MaxAge: 300",
    "AllowCredentials: true",
];

#[tokio::test]
async fn the_gateway_responds_to_a_preflight_itself() {
    let gateway = gateway_with_cors(&CONFIGURATION).await;
    for path in ["/echo", "/nothing"] {
        let response = preflight(&gateway, path, ORIGIN).await;
        assert_eq!(response.status(), 204);
        let expected = [
            "allow-credentials: true",
            "allow-headers: authorization,content-type",
            "allow-methods: GET,POST",
            "allow-origin: https://app.example",
            "expose-headers: x-request-id,date",
            "max-age: 300",
        ];
        assert_eq!(cors_headers(response.headers()), expected);
        assert_eq!(response.text().await.unwrap(), "");
    }
    assert!(!gateway.functions.has_event("echo"));
}

#[tokio::test]
async fn a_response_has_the_gateways_cors_headers_and_not_the_functions() {
    let gateway = gateway_with_cors(&CONFIGURATION).await;
    let response = send(&gateway, Method::GET, "/echo", &[("origin", ORIGIN)]).await;
    let expected =
        ["allow-credentials: true", "allow-origin: https://app.example", "expose-headers: x-request-id,date"];
    assert_eq!(cors_headers(response.headers()), expected);
    assert_eq!(response.headers()["x-own"], "kept");

    let response = send(&gateway, Method::GET, "/nothing", &[("origin", ORIGIN)]).await;
    assert_eq!(response.status(), 404);
    assert_eq!(cors_headers(response.headers()), expected, "a browser may read the gateway's own answers");

    let response = send(&gateway, Method::GET, "/echo", &[]).await;
    assert_eq!(cors_headers(response.headers()), [""; 0], "a request without an origin");
}

#[tokio::test]
async fn another_origin_gets_no_cors_headers() {
    let gateway = gateway_with_cors(&CONFIGURATION).await;
    for origin in ["https://evil.example", "https://app.example.evil.example", "null"] {
        let response = preflight(&gateway, "/echo", origin).await;
        assert_eq!(response.status(), 204);
        assert_eq!(cors_headers(response.headers()), [""; 0]);
        let response = send(&gateway, Method::GET, "/echo", &[("origin", origin)]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(cors_headers(response.headers()), [""; 0]);
    }
}

#[tokio::test]
async fn a_star_allows_every_origin() {
    let gateway = gateway_with_cors(&["AllowOrigins: [\"*\"]", "AllowMethods: [\"*\"]"]).await;
    let response = preflight(&gateway, "/echo", ORIGIN).await;
    assert_eq!(cors_headers(response.headers()), ["allow-methods: *", "allow-origin: *"]);
}

#[tokio::test]
async fn an_options_request_that_is_not_a_preflight_goes_to_its_route() {
    let gateway = gateway_with_cors(&CONFIGURATION).await;
    assert_eq!(send(&gateway, Method::OPTIONS, "/echo", &[("origin", ORIGIN)]).await.status(), 404);
}

#[tokio::test]
async fn without_a_configuration_the_function_sets_the_cors_headers() {
    let headers = json!({ "access-control-allow-origin": "https://function.example" });
    let echo = Behavior::Return(json!({ "statusCode": 200, "headers": headers }));
    let gateway = TestGateway::with_functions([("echo", echo)]).await;
    assert_eq!(preflight(&gateway, "/echo", ORIGIN).await.status(), 404);
    let response = send(&gateway, Method::GET, "/echo", &[("origin", ORIGIN)]).await;
    assert_eq!(cors_headers(response.headers()), ["allow-origin: https://function.example"]);
}

#[tokio::test]
async fn the_built_in_template_lets_pages_of_any_origin_send_a_token() {
    let gateway = TestGateway::new(template(BUILT_IN), [], GatewayLimits::default()).await;
    let response = preflight(&gateway, "/api/messages", ORIGIN).await;
    assert_eq!(response.status(), 204);
    let headers = cors_headers(response.headers());
    assert!(headers.contains(&"allow-origin: *".to_owned()), "{headers:?}");
    assert!(headers.iter().any(|line| line.starts_with("allow-headers: authorization,")), "{headers:?}");
    assert!(!headers.iter().any(|line| line.starts_with("allow-credentials")), "{headers:?}");
}

#[tokio::test]
async fn the_built_in_template_with_allowed_origins_answers_only_these_and_with_credentials() {
    let mut built_in = template(BUILT_IN);
    built_in.allow_credentials(&[ORIGIN.to_owned()]);
    let gateway = TestGateway::new(built_in, [], GatewayLimits::default()).await;
    let headers = cors_headers(preflight(&gateway, "/api/auth/refresh-token", ORIGIN).await.headers());
    for expected in ["allow-credentials: true", &format!("allow-origin: {ORIGIN}")] {
        assert!(headers.iter().any(|header| header == expected), "{headers:?}");
    }
    let response = preflight(&gateway, "/api/auth/refresh-token", "https://evil.example").await;
    assert_eq!(cors_headers(response.headers()), [""; 0]);
}
