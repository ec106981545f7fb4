//! Invokes functions, in this process or behind a Lambda Invoke endpoint. Events and responses are JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use functions::lambda::Function;
use futures_util::future::BoxFuture;
use lambda_runtime::{Config, Context};
use reqwest::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use shared::App;
use tokio::sync::Semaphore;

use crate::limits::FUNCTION_TIMEOUT;

/// Why a function gave no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The function failed or panicked.
    Error,
    /// The function took too long.
    Timeout,
}

/// A running function, which completes with the function's response.
pub type Invocation = BoxFuture<'static, Result<Box<RawValue>, Failure>>;

/// The functions behind the routes.
pub trait Functions: Send + Sync + 'static {
    /// Invokes the function with this name. The gateway polls the future in its own task, so a panic
    /// fails only this invocation.
    fn invoke(&self, name: &str, request_id: &str, event: Box<RawValue>) -> Invocation;
}

pub(crate) async fn with_timeout(
    timeout: Duration,
    invocation: Invocation,
) -> Result<Box<RawValue>, Failure> {
    tokio::time::timeout(timeout, invocation).await.unwrap_or(Err(Failure::Timeout))
}

/// The functions of the catalogue, in this process.
#[derive(Debug)]
pub struct InProcess {
    app: App,
    catalogue: BTreeMap<&'static str, Function>,
}

impl InProcess {
    /// All functions share `app`.
    pub fn new(app: App) -> Self {
        Self { app, catalogue: functions::catalogue() }
    }
}

impl Functions for InProcess {
    fn invoke(&self, name: &str, request_id: &str, event: Box<RawValue>) -> Invocation {
        let mut context = Context::default();
        request_id.clone_into(&mut context.request_id);
        context.env_config = Arc::new(Config { function_name: name.to_owned(), ..Config::default() });
        let (function, app, name) = (self.catalogue.get(name).cloned(), self.app.clone(), name.to_owned());
        Box::pin(async move {
            let Some(function) = function else {
                tracing::error!(name, "the template names a function that the catalogue does not have");
                return Err(Failure::Error);
            };
            function.call(app, event, context).await.map_err(|error| {
                tracing::error!(name, %error, "the function failed");
                Failure::Error
            })
        })
    }
}

/// How long connecting to an endpoint can take. An endpoint on this machine accepts at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many events of one function the endpoint has at the same time. Further events wait here.
///
/// `cargo lambda watch` 1.9 queues at most 100 events of one function. With one more it deadlocks: that
/// event waits for room in the queue and holds the lock that is needed to make room. The limit leaves a
/// margin, because the queue also keeps events that timed out here.
const CONCURRENT_EVENTS: usize = 32;
/// How many characters of a function's error are logged.
const LOGGED_CHARACTERS: usize = 500;

/// Functions that run in other processes, behind a Lambda Invoke endpoint such as `cargo lambda watch` or
/// `sam local start-lambda` (AWS Lambda API Reference: "Invoke").
#[derive(Debug)]
pub struct Remote {
    endpoint: String,
    http: reqwest::Client,
    /// By function, the permits for [`CONCURRENT_EVENTS`].
    permits: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl Remote {
    /// `endpoint` is a URL like `http://127.0.0.1:9000`. Requests to it are not signed, so it cannot be
    /// AWS itself.
    ///
    /// # Errors
    /// Says, for the person who typed it, what is wrong with the endpoint.
    pub fn new(endpoint: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(endpoint)
            .map_err(|error| format!("`{endpoint}` is not a valid URL: {error}"))?;
        if url.scheme() != "http" {
            return Err(format!("`{endpoint}` must begin with http://, like http://127.0.0.1:9000"));
        }
        // The endpoint is on this machine, so a proxy must not be used.
        let http =
            reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).timeout(FUNCTION_TIMEOUT);
        let http = http.build().map_err(|error| error.to_string())?;
        Ok(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), http, permits: Mutex::default() })
    }

    fn permits(&self, function: &str) -> Arc<Semaphore> {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(CONCURRENT_EVENTS));
        permits.entry(function.to_owned()).or_insert_with(new).clone()
    }
}

impl Functions for Remote {
    fn invoke(&self, name: &str, _request_id: &str, event: Box<RawValue>) -> Invocation {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let request = self.http.post(url).header(CONTENT_TYPE, "application/json");
        let request = request.body(String::from(Box::<str>::from(event)));
        let (name, permits) = (name.to_owned(), self.permits(name));
        Box::pin(async move {
            let _permit = permits.acquire().await.map_err(|_| Failure::Error)?;
            send(request).await.map_err(|error| {
                tracing::error!(name, error, "the function gave no response");
                Failure::Error
            })
        })
    }
}

/// Returns the function's response, or a description of the error.
async fn send(request: reqwest::RequestBuilder) -> Result<Box<RawValue>, String> {
    let response = request.send().await.map_err(|error| with_causes(&error))?;
    let status = response.status();
    // Lambda reports a failed function in this header only, cargo-lambda with the status 500.
    let failed = response.headers().contains_key("x-amz-function-error") || !status.is_success();
    let body = response.text().await.map_err(|error| with_causes(&error))?;
    if failed {
        let start: String = body.chars().take(LOGGED_CHARACTERS).collect();
        return Err(format!("{status}: {start}"));
    }
    RawValue::from_string(body).map_err(|error| format!("its response is not JSON: {error}"))
}

/// The text of an error and of its causes. The error of an HTTP client alone does not say why it failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::extract::Path;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use serde_json::value::to_raw_value;
    use shared::base::push::Push;
    use tokio::net::TcpListener;
    use tracing::instrument::WithSubscriber;

    use super::*;

    /// How many events the function `waits` has received.
    static RECEIVED: AtomicUsize = AtomicUsize::new(0);
    /// Without a permit, `waits` does not respond.
    static RESPOND: Semaphore = Semaphore::const_new(0);

    /// A Lambda endpoint whose functions have names that say what they do.
    async fn lambda() -> Remote {
        let function = async |Path(name): Path<String>, event: String| match name.as_str() {
            "echo" => event.into_response(),
            "fails-in-lambda" => {
                ([("x-amz-function-error", "Unhandled")], r#"{"errorMessage":"oh"}"#).into_response()
            }
            "fails-in-cargo-lambda" => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response(),
            "returns-no-json" => "no JSON".into_response(),
            "waits" => {
                RECEIVED.fetch_add(1, Ordering::SeqCst);
                _ = RESPOND.acquire().await;
                event.into_response()
            }
            _ => std::future::pending().await,
        };
        let router = Router::new().route("/2015-03-31/functions/{name}/invocations", post(function));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Remote::new(&url).unwrap()
    }

    async fn invoke(functions: &Remote, name: &str) -> Result<String, Failure> {
        let event = to_raw_value(&serde_json::json!({"rawPath": "/health"})).unwrap();
        let invocation = functions.invoke(name, "id", event);
        with_timeout(Duration::from_millis(500), invocation).await.map(|response| response.get().to_owned())
    }

    #[tokio::test]
    async fn a_function_receives_the_event_and_its_response_is_returned() {
        assert_eq!(invoke(&lambda().await, "echo").await.as_deref(), Ok(r#"{"rawPath":"/health"}"#));
    }

    #[tokio::test]
    async fn a_function_that_fails_in_lambda_or_in_cargo_lambda_is_an_error() {
        let functions = lambda().await;
        for name in ["fails-in-lambda", "fails-in-cargo-lambda", "returns-no-json"] {
            assert_eq!(invoke(&functions, name).await, Err(Failure::Error), "{name}");
        }
    }

    #[tokio::test]
    async fn a_function_that_hangs_times_out() {
        assert_eq!(invoke(&lambda().await, "hangs").await, Err(Failure::Timeout));
    }

    #[tokio::test]
    async fn a_function_with_many_events_gets_a_few_at_a_time_and_does_not_block_others() {
        let functions = lambda().await;
        let event = || to_raw_value(&1).unwrap();
        let invocations = (0..3 * CONCURRENT_EVENTS).map(|_| functions.invoke("waits", "id", event()));
        let respond = async {
            while RECEIVED.load(Ordering::SeqCst) < CONCURRENT_EVENTS {
                tokio::task::yield_now().await;
            }
            invoke(&functions, "echo").await.unwrap();
            assert_eq!(RECEIVED.load(Ordering::SeqCst), CONCURRENT_EVENTS);
            RESPOND.add_permits(1);
        };
        let all = async { tokio::join!(futures_util::future::join_all(invocations), respond).0 };
        let responses = tokio::time::timeout(Duration::from_secs(20), all).await.expect("all respond");
        assert!(responses.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn an_error_in_this_process_is_logged_once_with_the_function_and_the_id_of_the_request() {
        let secret = "s".repeat(32);
        let settings = [
            ("DATABASE_URL", "mysql://u@127.0.0.1:1/none"),
            ("JWT_SECRET", &secret),
            ("REFRESH_SECRET", &secret),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = shared::config::Config::from(settings).unwrap();
        let functions = InProcess::new(App::new(config, Push::management(None), 1));
        let (mut log, writer) = pipe().unwrap();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::ERROR);
        let subscriber = subscriber.with_writer(Mutex::new(writer)).finish();
        let context = serde_json::json!({"requestId": "an-id", "connectedAt": 0, "requestTimeEpoch": 0});
        let event = to_raw_value(&serde_json::json!({"requestContext": context})).unwrap();
        functions.invoke("disconnect", "an-id", event).with_subscriber(subscriber).await.unwrap();
        let mut lines = String::new();
        log.read_to_string(&mut lines).unwrap();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(lines.contains(r#"request{function="disconnect" request_id="an-id"}: "#), "{lines}");
        assert!(lines.contains("a request failed"), "{lines}");
    }

    #[tokio::test]
    async fn an_endpoint_that_does_not_listen_is_an_error() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let functions = Remote::new(&format!("http://{closed}")).unwrap();
        assert_eq!(invoke(&functions, "echo").await, Err(Failure::Error));
    }

    #[test]
    fn an_invalid_endpoint_is_refused() {
        for endpoint in ["127.0.0.1:9000", "https://lambda.us-east-1.amazonaws.com", ""] {
            assert!(Remote::new(endpoint).is_err(), "{endpoint}");
        }
    }
}
