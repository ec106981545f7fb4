//! Running functions: event JSON in, answer JSON out.

use std::collections::BTreeMap;
use std::time::Duration;

use functions::lambda::Function;
use futures_util::future::BoxFuture;
use lambda_runtime::Context;
use serde_json::value::RawValue;
use shared::App;

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
    /// Runs the function of this name once.
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
            // A task of its own, so that a panic ends the call and nothing else.
            match tokio::spawn(async move { function.call(app, event, context).await }).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => {
                    tracing::error!(name, %error, "function error");
                    Err(Failure::Error)
                }
                Err(error) => {
                    tracing::error!(name, %error, "function panicked");
                    Err(Failure::Error)
                }
            }
        })
    }
}
