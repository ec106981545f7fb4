//! CORS from the template's `CorsConfiguration`: the gateway answers the preflight itself, and the
//! functions' own CORS headers count for nothing.

use gateway::limits::Limits;
use gateway::template::BUILT_IN;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{Does, TEMPLATE, Tour, template};

const ORIGIN: &str = "https://app.example";

/// A tour whose HTTP API has this CORS configuration, in the lines of a YAML mapping.
async fn tour(configuration: &[&str]) -> Tour {
    let lines: String = configuration.iter().map(|line| format!("\n        {line}")).collect();
    let yaml = TEMPLATE.replace(
        "      StageName: $default",
        &format!("      StageName: $default\n      CorsConfiguration:{lines}"),
    );
    let answer = json!({
        "statusCode": 200,
        "headers": {
            "Access-Control-Allow-Origin": "https://function.example",
            "Access-Control-Expose-Headers": "x-function",
            "Access-Control-Max-Age": "1",
            "X-Own": "kept",
        },
    });
    Tour::of(template(&yaml), [("echo", Does::Answer(answer))], Limits::default()).await
}

async fn send(tour: &Tour, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = reqwest::Client::new().request(method, tour.http_url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn preflight(tour: &Tour, path: &str, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    send(tour, Method::OPTIONS, path, &headers).await
}

/// The CORS headers, sorted.
fn cors(headers: &HeaderMap) -> Vec<String> {
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
async fn the_gateway_answers_a_preflight_itself() {
    let tour = tour(&CONFIGURATION).await;
    for path in ["/echo", "/nothing"] {
        let response = preflight(&tour, path, ORIGIN).await;
        assert_eq!(response.status(), 204);
        let expected = [
            "allow-credentials: true",
            "allow-headers: authorization,content-type",
            "allow-methods: GET,POST",
            "allow-origin: https://app.example",
            "expose-headers: x-request-id,date",
            "max-age: 300",
        ];
        assert_eq!(cors(response.headers()), expected);
        assert_eq!(response.text().await.unwrap(), "");
    }
    assert!(!tour.functions.has_event("echo"));
}

#[tokio::test]
async fn an_answer_has_the_gateways_cors_headers_and_not_the_functions() {
    let tour = tour(&CONFIGURATION).await;
    let response = send(&tour, Method::GET, "/echo", &[("origin", ORIGIN)]).await;
    let expected =
        ["allow-credentials: true", "allow-origin: https://app.example", "expose-headers: x-request-id,date"];
    assert_eq!(cors(response.headers()), expected);
    assert_eq!(response.headers()["x-own"], "kept");

    let response = send(&tour, Method::GET, "/nothing", &[("origin", ORIGIN)]).await;
    assert_eq!(response.status(), 404);
    assert_eq!(cors(response.headers()), expected, "a browser may read the gateway's own answers");

    let response = send(&tour, Method::GET, "/echo", &[]).await;
    assert_eq!(cors(response.headers()), [""; 0], "no origin, no CORS");
}

#[tokio::test]
async fn another_origin_gets_no_cors_headers() {
    let tour = tour(&CONFIGURATION).await;
    for origin in ["https://evil.example", "https://app.example.evil.example", "null"] {
        let response = preflight(&tour, "/echo", origin).await;
        assert_eq!(response.status(), 204);
        assert_eq!(cors(response.headers()), [""; 0]);
        let response = send(&tour, Method::GET, "/echo", &[("origin", origin)]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(cors(response.headers()), [""; 0]);
    }
}

#[tokio::test]
async fn any_origin_is_answered_with_a_star() {
    let tour = tour(&["AllowOrigins: [\"*\"]", "AllowMethods: [\"*\"]"]).await;
    let response = preflight(&tour, "/echo", ORIGIN).await;
    assert_eq!(cors(response.headers()), ["allow-methods: *", "allow-origin: *"]);
}

#[tokio::test]
async fn options_without_the_marks_of_a_preflight_is_a_request_like_any_other() {
    let tour = tour(&CONFIGURATION).await;
    assert_eq!(send(&tour, Method::OPTIONS, "/echo", &[("origin", ORIGIN)]).await.status(), 404);
}

#[tokio::test]
async fn without_a_configuration_cors_is_the_functions_matter() {
    let headers = json!({ "access-control-allow-origin": "https://function.example" });
    let answer = Does::Answer(json!({ "statusCode": 200, "headers": headers }));
    let tour = Tour::with([("echo", answer)]).await;
    assert_eq!(preflight(&tour, "/echo", ORIGIN).await.status(), 404);
    let response = send(&tour, Method::GET, "/echo", &[("origin", ORIGIN)]).await;
    assert_eq!(cors(response.headers()), ["allow-origin: https://function.example"]);
}

#[tokio::test]
async fn the_built_in_template_lets_every_browser_send_a_token() {
    let tour = Tour::of(template(BUILT_IN), [], Limits::default()).await;
    let response = preflight(&tour, "/api/messages", ORIGIN).await;
    assert_eq!(response.status(), 204);
    let headers = cors(response.headers());
    assert!(headers.contains(&"allow-origin: *".to_owned()), "{headers:?}");
    assert!(headers.iter().any(|line| line.starts_with("allow-headers: authorization,")), "{headers:?}");
    assert!(!headers.iter().any(|line| line.starts_with("allow-credentials")), "{headers:?}");
}
