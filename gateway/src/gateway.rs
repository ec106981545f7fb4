//! The gateway that the HTTP API, the WebSocket API, the schedules and the queues share.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::connections::Connections;
use crate::invoke::{Failure, Functions, with_timeout};
use crate::limits::{GatewayLimits, RESPONSE_BYTES};
use crate::queues::Queues;
use crate::routes::Routes;
use crate::template::Template;

/// A template's routes, the functions behind them, and the open sockets.
pub struct Gateway {
    pub(crate) template: Template,
    pub(crate) routes: Routes,
    pub(crate) connections: Arc<Connections>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) limits: GatewayLimits,
    functions: Arc<dyn Functions>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("template", &self.template).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Creates a gateway that serves the routes of `template` with `functions`. The gateway adds its
    /// sockets to `connections`, through which functions push, and delivers the jobs of `queues`, which are
    /// those of `template`.
    ///
    /// # Errors
    /// Two routes of the template match the same requests.
    pub fn new(
        template: Template,
        functions: Arc<dyn Functions>,
        connections: Arc<Connections>,
        queues: Arc<Queues>,
        limits: GatewayLimits,
    ) -> Result<Self, matchit::InsertError> {
        let routes = Routes::new(&template.http)?;
        Ok(Self { template, routes, connections, queues, limits, functions })
    }

    /// Invokes a function and waits for its response.
    ///
    /// Two timeouts apply. As Lambda does, the gateway ends a function after the timeout that the
    /// template sets. As API Gateway does, it stops waiting after `integration_timeout` and lets the
    /// function keep running. The function runs in its own task, so a panic fails only this invocation,
    /// and a client that disconnects does not cancel it.
    ///
    /// # Errors
    /// The function failed, panicked, took too long or returned more than [`RESPONSE_BYTES`].
    pub(crate) async fn invoke(
        &self,
        function: &str,
        integration_timeout: Duration,
        request_id: &str,
        event: Box<RawValue>,
    ) -> Result<Box<RawValue>, Failure> {
        let (functions, name) = (self.functions.clone(), function.to_owned());
        let function_timeout = self.template.timeouts.get(function).copied().unwrap_or(integration_timeout);
        let request_id = request_id.to_owned();
        let task = tokio::spawn(async move {
            let invocation = functions.invoke(&name, &request_id, event);
            let response = with_timeout(function_timeout, invocation).await?;
            let bytes = response.get().len();
            if bytes > RESPONSE_BYTES {
                tracing::error!(name, bytes, "the function's response exceeds Lambda's limit");
                return Err(Failure::Error);
            }
            Ok(response)
        });
        match tokio::time::timeout(integration_timeout, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => {
                tracing::error!(function, %error, "the function panicked");
                Err(Failure::Error)
            }
            Err(_) => Err(Failure::Timeout),
        }
    }
}
