//! The gateway that the HTTP API, the WebSocket API, the schedules and the queues share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use serde_json::value::RawValue;
use shared::base::socket::Protocol;
use shared::config::ConnectionLimits;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::bodies::Bodies;
use crate::connections::Connections;
use crate::invoke::{Failure, Functions, with_timeout};
use crate::limits::{CONCURRENT_DISCONNECTS, GatewayLimits, RESPONSE_BYTES};
use crate::meters::{Meters, Outcome};
use crate::page::Page;
use crate::proxies::Proxies;
use crate::queues::Queues;
use crate::routes::Routes;
use crate::store::PublicStore;
use crate::template::Template;
use crate::tls::Tls;

/// A template's routes, the functions behind them, and the open sockets.
pub struct Gateway {
    pub(crate) template: Template,
    pub(crate) routes: Routes,
    pub(crate) connections: Arc<Connections>,
    pub(crate) queues: Arc<Queues>,
    pub(crate) limits: GatewayLimits,
    pub(crate) connection_limits: ConnectionLimits,
    pub(crate) tls: Option<Tls>,
    pub(crate) proxies: Proxies,
    /// The object store that clients reach at the same port.
    pub(crate) store: Option<PublicStore>,
    pub(crate) bodies: Bodies,
    /// What is served where the template has no route.
    pub(crate) page: Option<Page>,
    /// Makes the last frame of a socket when the gateway stops.
    pub(crate) farewell: Option<fn(Protocol) -> Option<Bytes>>,
    pub(crate) meters: Meters,
    /// When a gateway that stops gives up what is under way.
    pub(crate) stopping: watch::Sender<Option<Instant>>,
    /// Each message that is being handled has a receiver.
    pub(crate) messages: watch::Sender<()>,
    /// The permits of [`CONCURRENT_DISCONNECTS`].
    pub(crate) disconnects: Semaphore,
    /// Each function that runs has a receiver. `true` ends them.
    ended: watch::Sender<bool>,
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
        let meters = Meters::new(template.functions());
        Ok(Self {
            template,
            routes,
            connections,
            queues,
            limits,
            connection_limits: ConnectionLimits::default(),
            tls: None,
            proxies: Proxies::default(),
            store: None,
            bodies: Bodies::default(),
            page: None,
            farewell: None,
            meters,
            stopping: watch::Sender::new(None),
            messages: watch::Sender::new(()),
            disconnects: Semaphore::new(CONCURRENT_DISCONNECTS),
            ended: watch::Sender::new(false),
            functions,
        })
    }

    /// Sets how many connections clients may have.
    #[must_use]
    pub fn with_connection_limits(self, connection_limits: ConnectionLimits) -> Self {
        Self { connection_limits, ..self }
    }

    /// Serves a page too, where the template has no route.
    #[must_use]
    pub fn with_page(self, page: Option<Page>) -> Self {
        Self { page, ..self }
    }

    /// Lets clients connect through TLS only.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Believes what these proxies say about their clients.
    #[must_use]
    pub fn with_trusted_proxies(self, networks: Vec<IpNet>) -> Self {
        Self { proxies: Proxies::new(networks), ..self }
    }

    /// Lets clients reach an object store at the gateway's port, with URLs that were signed for them.
    #[must_use]
    pub fn with_store(self, store: PublicStore) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Sets what makes the last frame of each socket when the gateway stops.
    #[must_use]
    pub fn with_farewell(self, farewell: fn(Protocol) -> Option<Bytes>) -> Self {
        Self { farewell: Some(farewell), ..self }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some()
    }

    /// Ends every function that still runs, and waits until none does. From now on none starts.
    pub(crate) async fn end_functions(&self) {
        self.ended.send_replace(true);
        self.ended.closed().await;
    }

    /// Invokes a function as [`Gateway::invoke`] does, and measures it. Of its response only whether there is one counts.
    pub(crate) async fn invoke_measured(
        &self,
        function: &str,
        integration_timeout: Duration,
        request_id: &str,
        event: Box<RawValue>,
    ) -> Result<Box<RawValue>, Failure> {
        let start = Instant::now();
        let response = self.invoke(function, integration_timeout, request_id, event).await;
        let outcome = match response {
            Ok(_) => Outcome::Ok,
            Err(Failure::Error) => Outcome::Failed,
            Err(Failure::Timeout) => Outcome::Timeout,
        };
        self.meters.ended(function, outcome, start.elapsed());
        response
    }

    /// Invokes a function and waits for its response.
    ///
    /// Two timeouts apply. As Lambda does, the gateway ends a function after the timeout that the
    /// template sets. As API Gateway does, it stops waiting after `integration_timeout` and lets the
    /// function keep running. The function runs in its own task, so a panic fails only this invocation,
    /// and a client that disconnects does not cancel it.
    ///
    /// # Errors
    /// The function failed, panicked, took too long or returned more than [`RESPONSE_BYTES`], or the gateway has ended
    /// it ([`Gateway::end_functions`]).
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
        let mut ended = self.ended.subscribe();
        let task = tokio::spawn(async move {
            let run = async {
                let invocation = functions.invoke(&name, &request_id, event);
                with_timeout(function_timeout, invocation).await
            };
            let response = tokio::select! {
                biased;
                _ = ended.wait_for(|&ended| ended) => return Err(Failure::Error),
                response = run => response?,
            };
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
