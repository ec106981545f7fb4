//! Behind CloudFront: docs/contract.md, "The client's address".

use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

const SECRET: &str = "the secret of CloudFront, of enough bytes";
const PREVIOUS: &str = "the one before it, which is accepted too";

/// A server behind CloudFront that lets two users register from an address.
async fn behind_cloudfront() -> TestApp {
    TestApp::with(&[
        ("ORIGIN_SECRET", SECRET),
        ("ORIGIN_SECRET_PREVIOUS", PREVIOUS),
        ("REGISTER_LIMIT", "2/600"),
        ("PASSWORD_LIMIT", "2/600"),
    ])
    .await
}

/// Sends a request as CloudFront does, with this secret and this address of the client.
async fn post(app: &TestApp, path: &str, body: &Value, secret: &str, viewer: &str) -> Answer {
    let request = app.http.post(format!("{}{path}", app.url)).json(body);
    let secret = HeaderValue::from_bytes(secret.as_bytes()).unwrap();
    let request = request.header("X-Origin-Secret", secret).header("CloudFront-Viewer-Address", viewer);
    Answer::of(request, "POST", path, None).await
}

async fn register(app: &TestApp, secret: &str, viewer: &str) -> Answer {
    post(app, "/api/auth/register", &json!({"password": "correct horse"}), secret, viewer).await
}

async fn log_in(app: &TestApp, secret: &str, viewer: &str) -> Answer {
    let login = json!({"identifier": "nobody", "password": "correct horse"});
    post(app, "/api/auth/login", &login, secret, viewer).await
}

/// Changes the user's own username, from this address.
async fn rename(app: &TestApp, person: &Person, viewer: &str, username: &str) -> Answer {
    let request = app.http.patch(format!("{}/api/profile", app.url)).json(&json!({"username": username}));
    let request = request.bearer_auth(&person.access_token).header("X-Origin-Secret", SECRET);
    let request = request.header("CloudFront-Viewer-Address", viewer);
    Answer::of(request, "PATCH", "/api/profile", Some(&person.user_id)).await
}

/// Whether anybody can still register from the address that the gateway sees, which is one for all.
async fn the_gateways_address_is_full(app: &TestApp) -> bool {
    let answer = app.post("/api/auth/register", json!({"password": "correct horse"})).await;
    answer.json["code"] == "rate_limited"
}

#[tokio::test]
async fn clients_behind_cloudfront_are_counted_by_their_own_addresses() {
    let app = behind_cloudfront().await;
    for [one, another] in [
        ["198.51.100.10:46532", "198.51.100.11:46532"],
        // IPv6 with and without brackets, by its first 64 bits.
        ["2001:db8:1:2::1:46532", "2001:db8:1:3::1:46532"],
        ["[2001:db8:1:4::1]:46532", "[2001:db8:1:5::1]:46532"],
    ] {
        register(&app, SECRET, one).await.created();
        register(&app, PREVIOUS, &one.replace("46532", "1")).await.created();
        register(&app, SECRET, one).await.refused(429, "rate_limited");
        register(&app, SECRET, another).await.created();
    }
    register(&app, SECRET, "2001:db8:1:2:9:9:9:9:7").await.refused(429, "rate_limited");
    assert!(!the_gateways_address_is_full(&app).await);
}

#[tokio::test]
async fn without_the_secret_or_with_a_wrong_one_the_header_is_ignored() {
    let longer = format!("{SECRET}!");
    let twice = format!("{SECRET},{SECRET}");
    for wrong in ["", "x", &SECRET[1..], &longer, &twice, &SECRET.to_uppercase(), "\u{e4}"] {
        let app = behind_cloudfront().await;
        register(&app, wrong, "198.51.100.10:1").await.created();
        register(&app, wrong, "198.51.100.11:1").await.created();
        register(&app, wrong, "198.51.100.12:1").await.refused(429, "rate_limited");
        assert!(the_gateways_address_is_full(&app).await, "{wrong}");
    }
}

#[tokio::test]
async fn without_the_setting_no_secret_is_right() {
    let app = TestApp::with(&[("REGISTER_LIMIT", "2/600")]).await;
    for (number, secret) in ["", SECRET, "", SECRET].into_iter().enumerate() {
        let answer = register(&app, secret, &format!("198.51.100.1{number}:1")).await;
        assert_eq!(answer.status, if number < 2 { 201 } else { 429 }, "{number}");
    }
}

#[tokio::test]
async fn a_header_without_an_address_and_port_is_ignored() {
    let app = behind_cloudfront().await;
    for (number, viewer) in ["198.51.100.10", "ann:1", "198.51.100.11:70000", ""].into_iter().enumerate() {
        let answer = register(&app, SECRET, viewer).await;
        assert_eq!(answer.status, if number < 2 { 201 } else { 429 }, "{viewer}");
    }
    // No other header tells an address.
    let request = app.http.post(format!("{}/api/auth/register", app.url));
    let request = request.json(&json!({"password": "correct horse"})).header("X-Origin-Secret", SECRET);
    let request = request.header("X-Forwarded-For", "198.51.100.10");
    let answer = Answer::of(request, "POST", "/api/auth/register", None).await;
    answer.refused(429, "rate_limited");
}

#[tokio::test]
async fn wrong_passwords_and_new_identifiers_are_counted_by_the_clients_address_too() {
    let app = behind_cloudfront().await;
    for viewer in ["198.51.100.10:1", "198.51.100.11:1"] {
        for status in [401, 401, 429] {
            assert_eq!(log_in(&app, SECRET, viewer).await.status, status, "{viewer}");
        }
    }
    let ann = app.user("ann").await;
    for viewer in ["198.51.100.20:1", "198.51.100.21:1"] {
        for (number, status) in [200, 200, 429].into_iter().enumerate() {
            let username = format!("ann-{}-{number}", &viewer[11..13]);
            assert_eq!(rename(&app, &ann, viewer, &username).await.status, status, "{viewer}");
        }
    }
}
