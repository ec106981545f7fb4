//! A function: it takes an event's JSON and returns its answer's JSON, with the [`App`] of its environment.
//!
//! The same [`Function`] runs in a Lambda binary ([`Function::run`]) and in `gateway/`
//! ([`Function::call`]), so it cannot behave differently in the two.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Service, service_fn};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use shared::App;
use tracing::Span;
use tracing::field::Empty;

use crate::environment::Environment;
use crate::http::{self, Admission, Request, Response};
use crate::jobs;
use crate::websocket::{self, Reply, SocketEvent};

/// One Lambda function.
#[derive(Clone)]
pub struct Function(Arc<dyn Fn(App, Box<RawValue>, Context) -> Outcome + Send + Sync>);

type Outcome = BoxFuture<'static, Result<Box<RawValue>, Error>>;

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function(…)")
    }
}

/// A handler of events `E`: `async fn(&App, E) -> A`. It is a trait of its own because stable Rust cannot
/// prove that the future of a plain `AsyncFn` bound is `Send`.
pub trait Handler<'a, E, A>: Send + Sync {
    /// What the handler returns.
    type Future: Future<Output = A> + Send + 'a;
    /// Calls the handler.
    fn handle(&self, app: &'a App, event: E) -> Self::Future;
}

impl<'a, E, A, F, Fut> Handler<'a, E, A> for F
where
    F: Fn(&'a App, E) -> Fut + Send + Sync,
    Fut: Future<Output = A> + Send + 'a,
{
    type Future = Fut;

    fn handle(&self, app: &'a App, event: E) -> Fut {
        self(app, event)
    }
}

/// A handler that can become a [`Function`]. `Events` is the type of its events; the compiler infers it.
pub trait IntoFunction<Events> {
    /// Makes the function.
    fn into_function(self) -> Function;
}

/// Makes the function of a handler.
pub fn function<Events>(handler: impl IntoFunction<Events>) -> Function {
    handler.into_function()
}

/// A handler behind the HTTP API (payload 2.0). It answers an error with its problem, because the gateway
/// would turn an `Err` into a 500 of its own.
impl<H> IntoFunction<Request> for H
where
    H: for<'a> Handler<'a, Request, shared::Result<Response>> + 'static,
{
    fn into_function(self) -> Function {
        let handler = Arc::new(self);
        Function::new(move |app: App, request: LambdaRequest, context: Context| {
            let handler = handler.clone();
            let request_id = context.request_id.clone();
            name_request(&request_id);
            let service = service_fn(move |mut request: Request| {
                let (handler, app, request_id) = (handler.clone(), app.clone(), request_id.clone());
                let admission = Admission::default();
                request.extensions_mut().insert(admission.clone());
                async move {
                    let answer = handler.handle(&app, request).await;
                    drop(admission);
                    Ok::<_, Infallible>(answer.unwrap_or_else(|error| http::problem(&error, &request_id)))
                }
            });
            async move { Ok(Adapter::from(service).call(LambdaEvent::new(request, context)).await?) }
        })
    }
}

/// A handler behind a route of the WebSocket API.
impl<H> IntoFunction<SocketEvent> for H
where
    H: for<'a> Handler<'a, SocketEvent, Reply> + 'static,
{
    fn into_function(self) -> Function {
        let handler = Arc::new(self);
        Function::new(move |app: App, event: SocketEvent, _| {
            name_request(websocket::ids(&event).1);
            let handler = handler.clone();
            async move { Ok(handler.handle(&app, event).await) }
        })
    }
}

/// A handler of a queue's jobs. It has one job at a time, and those of an event run at once.
impl<H, J> IntoFunction<Vec<J>> for H
where
    H: for<'a> Handler<'a, J, shared::Result<()>> + 'static,
    J: DeserializeOwned + Send + 'static,
{
    fn into_function(self) -> Function {
        let handler = Arc::new(self);
        Function::new(move |app: App, event: jobs::QueueEvent, context: Context| {
            let handler = handler.clone();
            name_request(&context.request_id);
            async move {
                let done = event.records.into_iter().map(async |jobs::Record { message_id, body }| {
                    let done = match serde_json::from_str(&body) {
                        Ok(job) => handler.handle(&app, job).await,
                        Err(error) => Err(shared::Error::internal(error)),
                    };
                    done.inspect_err(shared::Error::log).is_err().then_some(message_id)
                });
                let failed = join_all(done).await.into_iter().flatten();
                let failed = failed.map(|item_identifier| jobs::BatchItemFailure { item_identifier });
                Ok(jobs::BatchResponse { batch_item_failures: failed.collect() })
            }
        })
    }
}

/// A handler without a route, invoked by its name.
impl<H> IntoFunction<serde_json::Value> for H
where
    H: for<'a> Handler<'a, serde_json::Value, shared::Result<serde_json::Value>> + 'static,
{
    fn into_function(self) -> Function {
        let handler = Arc::new(self);
        Function::new(move |app: App, event: serde_json::Value, context: Context| {
            let handler = handler.clone();
            name_request(&context.request_id);
            async move { Ok(handler.handle(&app, event).await.inspect_err(shared::Error::log)?) }
        })
    }
}

/// Adds the request's id to its span: the id that a client sees as `requestId`. For a WebSocket, that is API
/// Gateway's id and not Lambda's.
fn name_request(request_id: &str) {
    Span::current().record("request_id", request_id);
}

impl Function {
    fn new<E, A, F, Fut>(function: F) -> Self
    where
        E: for<'de> Deserialize<'de> + Send + 'static,
        A: Serialize,
        F: Fn(App, E, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Error>> + Send + 'static,
    {
        let function = Arc::new(function);
        Self(Arc::new(move |app, event, context| {
            let function = function.clone();
            Box::pin(async move {
                let event = serde_json::from_str(event.get())?;
                Ok(to_raw_value(&function(app, event, context).await?)?)
            })
        }))
    }

    /// Runs the function once, in a span that adds the function's name and the request's id to each line of
    /// the log. The span has the highest level, so that a log of only errors has it too.
    ///
    /// # Errors
    /// What Lambda would report as a function error: an event of the wrong kind.
    #[tracing::instrument(
        name = "request",
        level = "error",
        skip_all,
        fields(function = context.env_config.function_name, request_id = Empty)
    )]
    pub async fn call(
        &self,
        app: App,
        event: Box<RawValue>,
        context: Context,
    ) -> Result<Box<RawValue>, Error> {
        (self.0)(app, event, context).await
    }

    /// Runs the function in Lambda: starts the environment, then handles one event after another. It is not
    /// `async`, so that the runtime's code is compiled once and not for each binary.
    ///
    /// # Errors
    /// Wrong settings, or the runtime's.
    #[tokio::main]
    pub async fn run(self) -> Result<(), Error> {
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            // Log only the innermost span: the runtime puts one of its own around each event.
            .with_span_list(false)
            .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
            // CloudWatch adds the time itself.
            .without_time()
            .init();
        let environment = Environment::start().await;
        let environment = environment.inspect_err(|error| tracing::error!(%error, "cannot start"))?;
        let environment = Arc::new(environment);
        let serve = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let (function, environment) = (self.clone(), environment.clone());
            async move { function.call(environment.app().await, event.payload, event.context).await }
        });
        lambda_runtime::run(serve).await
    }
}
