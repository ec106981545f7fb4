//! Running functions: event JSON in, answer JSON out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use functions::lambda::Function;
use futures_util::future::BoxFuture;
use lambda_runtime::Context;
use reqwest::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use shared::App;
use tokio::sync::Semaphore;

/// Why a function gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It failed or panicked.
    Error,
    /// It took too long.
    Timeout,
}

/// The functions behind the routes.
pub trait Functions: Send + Sync + 'static {
    /// Runs the function of this name once. The gateway gives it a task of its own, so that a panic
    /// ends the call and nothing else.
    fn invoke(
        &self,
        name: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>>;
}

/// Runs a function, for at most `longest`.
pub(crate) async fn within(
    longest: Duration,
    call: BoxFuture<'static, Result<Box<RawValue>, Failure>>,
) -> Result<Box<RawValue>, Failure> {
    tokio::time::timeout(longest, call).await.unwrap_or(Err(Failure::Timeout))
}

/// The functions of the catalogue, in this process.
#[derive(Debug)]
pub struct InProcess {
    app: App,
    catalogue: BTreeMap<&'static str, Function>,
}

impl InProcess {
    /// The catalogue's functions, sharing one `App`.
    pub fn new(app: App) -> Self {
        Self { app, catalogue: functions::catalogue() }
    }
}

impl Functions for InProcess {
    fn invoke(
        &self,
        name: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        let mut context = Context::default();
        request_id.clone_into(&mut context.request_id);
        let (function, app, name) = (self.catalogue.get(name).cloned(), self.app.clone(), name.to_owned());
        Box::pin(async move {
            let Some(function) = function else {
                tracing::error!(name, "the template names a function that the catalogue does not have");
                return Err(Failure::Error);
            };
            function.call(app, event, context).await.map_err(|error| {
                tracing::error!(name, %error, "function error");
                Failure::Error
            })
        })
    }
}

/// The longest that a function may run (Lambda quotas: 900 seconds).
pub(crate) const LONGEST_FUNCTION: Duration = Duration::from_secs(900);
/// An endpoint on this machine accepts at once or is not there.
const CONNECT: Duration = Duration::from_secs(2);
/// The most events of one function that the endpoint has at once; more wait here. In `cargo lambda watch` 1.9
/// 100 may wait for a function, and with one more nothing ever moves again: it waits for room with a lock
/// that whoever would make room needs. Those that were given up stay in its queue for a while.
const EVENTS_AT_ONCE: usize = 32;
/// The most of an error's text that is logged.
const LOGGED_CHARACTERS: usize = 500;

/// The functions as processes of their own, behind a Lambda Invoke endpoint: `cargo lambda watch`,
/// `sam local start-lambda` (AWS Lambda API Reference, "Invoke").
#[derive(Debug)]
pub struct Remote {
    endpoint: String,
    http: reqwest::Client,
    /// How many more events each function may have, of those that have had one.
    room: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl Remote {
    /// Functions behind `endpoint`, like `http://127.0.0.1:9000`. Requests are not signed, so AWS
    /// itself is none.
    ///
    /// # Errors
    /// What is wrong with the endpoint, in words for who typed it.
    pub fn new(endpoint: &str) -> Result<Self, String> {
        let url =
            reqwest::Url::parse(endpoint).map_err(|error| format!("`{endpoint}` is no URL: {error}"))?;
        if url.scheme() != "http" {
            return Err(format!("`{endpoint}` must begin with http://, like http://127.0.0.1:9000"));
        }
        // No proxy: the endpoint is on this machine.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).timeout(LONGEST_FUNCTION);
        let http = http.build().map_err(|error| error.to_string())?;
        Ok(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), http, room: Mutex::default() })
    }

    fn room_of(&self, function: &str) -> Arc<Semaphore> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let own = room.entry(function.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(EVENTS_AT_ONCE)));
        own.clone()
    }
}

impl Functions for Remote {
    fn invoke(
        &self,
        name: &str,
        _request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let request = self.http.post(url).header(CONTENT_TYPE, "application/json");
        let request = request.body(String::from(Box::<str>::from(event)));
        let (name, room) = (name.to_owned(), self.room_of(name));
        Box::pin(async move {
            let _place = room.acquire().await.map_err(|_| Failure::Error)?;
            answered(request).await.map_err(|error| {
                tracing::error!(name, error, "the function gave no answer");
                Failure::Error
            })
        })
    }
}

/// The function's answer, or in words why there is none.
async fn answered(request: reqwest::RequestBuilder) -> Result<Box<RawValue>, String> {
    let response = request.send().await.map_err(|error| with_causes(&error))?;
    let status = response.status();
    // Lambda says by this header alone that a function failed; cargo-lambda by a status of 500.
    let failed = response.headers().contains_key("x-amz-function-error") || !status.is_success();
    let body = response.text().await.map_err(|error| with_causes(&error))?;
    let start = |body: &str| body.chars().take(LOGGED_CHARACTERS).collect::<String>();
    if failed {
        return Err(format!("{status}: {}", start(&body)));
    }
    RawValue::from_string(body).map_err(|error| format!("its answer is no JSON: {error}"))
}

/// An HTTP client's error says what it tried, and only its causes why that failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Path;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use serde_json::value::to_raw_value;
    use tokio::net::TcpListener;

    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// How many calls of `waits` there have been, and what they wait for.
    static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
    static RELEASE: Notify = Notify::const_new();
    static RELEASED: AtomicBool = AtomicBool::new(false);

    /// A Lambda whose functions are named after what they do.
    async fn lambda() -> Remote {
        let function = async |Path(name): Path<String>, event: String| match name.as_str() {
            "echo" => event.into_response(),
            "fails-in-lambda" => {
                ([("x-amz-function-error", "Unhandled")], r#"{"errorMessage":"oh"}"#).into_response()
            }
            "fails-in-watch" => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response(),
            "babbles" => "no JSON".into_response(),
            "waits" => {
                let released = RELEASE.notified();
                UNDER_WAY.fetch_add(1, Ordering::SeqCst);
                if !RELEASED.load(Ordering::SeqCst) {
                    released.await;
                }
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

    async fn call(functions: &Remote, name: &str) -> Result<String, Failure> {
        let event = to_raw_value(&serde_json::json!({"rawPath": "/health"})).unwrap();
        let call = functions.invoke(name, "id", event);
        within(Duration::from_millis(500), call).await.map(|answer| answer.get().to_owned())
    }

    #[tokio::test]
    async fn the_event_reaches_the_function_of_its_name_and_the_answer_comes_back() {
        assert_eq!(call(&lambda().await, "echo").await.as_deref(), Ok(r#"{"rawPath":"/health"}"#));
    }

    #[tokio::test]
    async fn a_function_that_fails_is_an_error_as_lambda_and_as_cargo_lambda_say_it() {
        let functions = lambda().await;
        for name in ["fails-in-lambda", "fails-in-watch", "babbles"] {
            assert_eq!(call(&functions, name).await, Err(Failure::Error), "{name}");
        }
    }

    #[tokio::test]
    async fn a_function_that_hangs_is_given_up() {
        assert_eq!(call(&lambda().await, "hangs").await, Err(Failure::Timeout));
    }

    #[tokio::test]
    async fn a_function_with_many_events_gets_them_by_and_by_and_holds_up_no_other() {
        let functions = lambda().await;
        let event = || to_raw_value(&1).unwrap();
        let calls = (0..3 * EVENTS_AT_ONCE).map(|_| functions.invoke("waits", "id", event()));
        let release = async {
            while UNDER_WAY.load(Ordering::SeqCst) < EVENTS_AT_ONCE {
                tokio::task::yield_now().await;
            }
            call(&functions, "echo").await.unwrap();
            assert_eq!(UNDER_WAY.load(Ordering::SeqCst), EVENTS_AT_ONCE);
            RELEASED.store(true, Ordering::SeqCst);
            RELEASE.notify_waiters();
        };
        let all = async { tokio::join!(futures_util::future::join_all(calls), release).0 };
        let answers = tokio::time::timeout(Duration::from_secs(20), all).await.expect("all are answered");
        assert!(answers.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_is_an_error() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let functions = Remote::new(&format!("http://{closed}")).unwrap();
        assert_eq!(call(&functions, "echo").await, Err(Failure::Error));
    }

    #[test]
    fn an_endpoint_that_cannot_be_one_is_refused() {
        for wrong in ["127.0.0.1:9000", "https://lambda.us-east-1.amazonaws.com", ""] {
            assert!(Remote::new(wrong).is_err(), "{wrong}");
        }
    }
}
