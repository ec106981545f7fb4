//! Secrets in Secrets Manager, as a function's binary reads them. The service here is a stand-in on loopback that speaks
//! its protocol (AWS JSON 1.1) and checks that requests are signed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::binaries::{answer, lambda, runtime, started};
use crate::harness::{SECRET, TestApp, claims, signed};

const NEW_SECRET: &str = "the secret after the rotation, of enough bytes";

/// The texts of the secrets by their ARN, and which of them were read.
#[derive(Clone, Default)]
struct Secrets {
    texts: Arc<Mutex<BTreeMap<String, String>>>,
    read: Arc<Mutex<Vec<String>>>,
}

impl Secrets {
    fn set(&self, arn: &str, text: impl Into<String>) {
        self.texts.lock().unwrap().insert(arn.to_owned(), text.into());
    }

    /// Serves the secrets, and returns the address.
    async fn serve(&self) -> String {
        let get = async |State(secrets): State<Self>, headers: HeaderMap, body: String| {
            assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
            assert!(headers["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256 Credential="));
            let request: Value = serde_json::from_str(&body).unwrap();
            let arn = request["SecretId"].as_str().unwrap().to_owned();
            let text = secrets.texts.lock().unwrap().get(&arn).cloned();
            secrets.read.lock().unwrap().push(arn.clone());
            match text {
                Some(text) => (StatusCode::OK, json!({"ARN": arn, "SecretString": text}).to_string()),
                None => (
                    StatusCode::BAD_REQUEST,
                    json!({"__type": "ResourceNotFoundException", "Message": "no such secret"}).to_string(),
                ),
            }
        };
        let router = Router::new().route("/", post(get)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

/// An event of `GET /api/profile/me` with this token.
fn profile_request(token: &str) -> String {
    let mut event: Value = serde_json::from_str(include_str!("events/http.json")).unwrap();
    event["headers"]["authorization"] = json!(format!("Bearer {token}"));
    event["pathParameters"] = json!({"userId": "me"});
    event["body"] = Value::Null;
    event["isBase64Encoded"] = json!(false);
    event.to_string()
}

#[tokio::test]
async fn a_function_reads_its_secrets_and_reads_them_again_after_a_rotation() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let settings: BTreeMap<_, _> = app.settings().into_iter().collect();
    let secrets = Secrets::default();
    secrets.set("arn:database", &settings["DATABASE_URL"]);
    secrets.set("arn:jwt", json!({"current": SECRET, "previous": ""}).to_string());
    let endpoint = secrets.serve().await;
    let (runtime, events, mut answers) = runtime().await;
    let mut command = lambda(&app, "get-profile", &runtime, "http://127.0.0.1:1");
    for name in ["DATABASE_URL", "JWT_SECRET", "REFRESH_SECRET"] {
        command.env_remove(name);
    }
    command
        .env("DATABASE_SECRET_ARN", "arn:database")
        .env("JWT_SECRET_ARN", "arn:jwt")
        .env("JWT_SECRET_PREVIOUS", "")
        .env("SECRETS_SECONDS", "1")
        .env("AWS_ENDPOINT_URL", endpoint);
    let _running = started("get-profile", command);
    let mut status = async |token: &str| -> Value {
        events.send(profile_request(token)).unwrap();
        answer("get-profile", &mut answers).await.1["statusCode"].clone()
    };
    let new_token = signed(Algorithm::HS256, &claims(&ann.access_token), NEW_SECRET);
    assert_eq!(status(&ann.access_token).await, 200);
    assert_eq!(status(&new_token).await, 401);

    secrets.set("arn:jwt", json!({"current": NEW_SECRET, "previous": SECRET}).to_string());
    // The secrets are kept for a second.
    while status(&new_token).await != 200 {}
    assert_eq!(status(&ann.access_token).await, 200);

    secrets.set("arn:jwt", json!({"current": NEW_SECRET}).to_string());
    while status(&ann.access_token).await != 401 {}
    assert_eq!(status(&new_token).await, 200);

    // An outage of Secrets Manager does not end what works.
    secrets.texts.lock().unwrap().clear();
    let before = secrets.read.lock().unwrap().len();
    while secrets.read.lock().unwrap().len() == before {
        assert_eq!(status(&new_token).await, 200);
    }
    assert_eq!(status(&new_token).await, 200);
}

/// An event of a registration that comes through CloudFront, with this secret and from this address.
fn registration(secret: &str, viewer: &str) -> String {
    let mut event: Value = serde_json::from_str(include_str!("events/http.json")).unwrap();
    event["headers"]["x-origin-secret"] = json!(secret);
    event["headers"]["cloudfront-viewer-address"] = json!(viewer);
    event["body"] = json!(json!({"password": "correct horse"}).to_string());
    event.to_string()
}

#[tokio::test]
async fn a_function_reads_the_secret_of_cloudfront_and_accepts_the_one_before() {
    const OLD_SECRET: &str = "the secret of CloudFront before the rotation";
    let app = TestApp::start().await;
    let secrets = Secrets::default();
    secrets.set("arn:origin", json!({"current": OLD_SECRET, "previous": ""}).to_string());
    let endpoint = secrets.serve().await;
    let (runtime, events, mut answers) = runtime().await;
    let mut command = lambda(&app, "register", &runtime, "http://127.0.0.1:1");
    command
        .env("ORIGIN_SECRET_ARN", "arn:origin")
        .env("SECRETS_SECONDS", "1")
        .env("REGISTER_LIMIT", "1/600")
        .env("AWS_ENDPOINT_URL", endpoint);
    let _running = started("register", command);
    let mut addresses = 0;
    // The status of a registration from a new address.
    let mut status = async |secret: &str| -> Value {
        addresses += 1;
        events
            .send(registration(secret, &format!("10.0.{}.{}:1", addresses / 256, addresses % 256)))
            .unwrap();
        answer("register", &mut answers).await.1["statusCode"].clone()
    };
    for expected in [201, 201] {
        assert_eq!(status(OLD_SECRET).await, expected);
    }
    // With an unknown secret, all come from the gateway's address.
    for expected in [201, 429] {
        assert_eq!(status(NEW_SECRET).await, expected);
    }
    secrets.set("arn:origin", json!({"current": NEW_SECRET, "previous": OLD_SECRET}).to_string());
    // The secrets are kept for a second.
    while status(NEW_SECRET).await != 201 {}
    assert_eq!(status(OLD_SECRET).await, 201);
    secrets.set("arn:origin", json!({"current": NEW_SECRET}).to_string());
    while status(OLD_SECRET).await != 429 {}
    assert_eq!(status(NEW_SECRET).await, 201);
}

#[tokio::test]
async fn a_function_without_its_secret_does_not_start_and_does_not_log_any() {
    let app = TestApp::start().await;
    let secrets = Secrets::default();
    secrets.set("arn:jwt", "a secret that is not JSON");
    let endpoint = secrets.serve().await;
    for (setting, arn) in
        [("JWT_SECRET_ARN", "arn:jwt"), ("REFRESH_SECRET_ARN", "arn:none"), ("ORIGIN_SECRET_ARN", "arn:jwt")]
    {
        let (runtime, _events, _answers) = runtime().await;
        let mut command = lambda(&app, "login", &runtime, "http://127.0.0.1:1");
        command.env(setting, arn).env("AWS_ENDPOINT_URL", &endpoint);
        // This thread serves the secrets.
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!output.status.success(), "{setting}");
        let log = String::from_utf8(output.stdout).unwrap();
        assert!(log.contains(setting), "{log}");
        assert!(!log.contains("a secret that is not JSON"), "{log}");
    }
}

#[tokio::test]
async fn a_function_needs_only_the_secrets_that_it_uses() {
    let app = TestApp::start().await;
    let (runtime, events, mut answers) = runtime().await;
    let mut command = lambda(&app, "health", &runtime, "http://127.0.0.1:1");
    command.env_remove("JWT_SECRET").env_remove("REFRESH_SECRET");
    let _running = started("health", command);
    events.send(include_str!("events/http.json").to_owned()).unwrap();
    assert_eq!(answer("health", &mut answers).await.1["statusCode"], 200);
    // One that uses them says what is missing, in its log alone.
    let (runtime, events, mut answers) = crate::binaries::runtime().await;
    let mut command = lambda(&app, "get-profile", &runtime, "http://127.0.0.1:1");
    command.env_remove("JWT_SECRET").env_remove("REFRESH_SECRET");
    let _running = started("get-profile", command);
    events.send(profile_request("x.y.z")).unwrap();
    assert_eq!(answer("get-profile", &mut answers).await.1["statusCode"], 500);
}
