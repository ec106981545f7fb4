//! A gateway on its own port, with functions whose behavior the test chooses.

mod functions;
mod raw;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::limits::GatewayLimits;
use gateway::queues::Queues;
use gateway::template::Template;
use serde_json::{Value, json};
use shared::config::ConnectionLimits;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, http};

pub(crate) use functions::{Behavior, Functions};
pub(crate) use raw::{RawConnection, UPGRADE};
pub(crate) use socket::Socket;

/// A test that waits longer than this fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A template with a route for each function of the tests.
pub(crate) const TEMPLATE: &str = include_str!("template.yaml");

/// A gateway that serves until it is dropped.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) functions: Arc<Functions>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) queues: Arc<Queues>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl TestGateway {
    /// With [`TEMPLATE`] and the default limits. Functions that are not listed return 200.
    pub(crate) async fn with_functions(
        functions: impl IntoIterator<Item = (&'static str, Behavior)>,
    ) -> Self {
        Self::new(template(TEMPLATE), functions, GatewayLimits::default()).await
    }

    /// With [`TEMPLATE`] and functions that return 200.
    pub(crate) async fn with_limits(limits: GatewayLimits) -> Self {
        Self::new(template(TEMPLATE), [], limits).await
    }

    /// Functions that are not listed return 200.
    pub(crate) async fn new(
        template: Template,
        functions: impl IntoIterator<Item = (&'static str, Behavior)>,
        limits: GatewayLimits,
    ) -> Self {
        Self::limited(template, functions, limits, ConnectionLimits::default()).await
    }

    /// Functions that are not listed return 200.
    pub(crate) async fn limited(
        template: Template,
        functions: impl IntoIterator<Item = (&'static str, Behavior)>,
        limits: GatewayLimits,
        connection_limits: ConnectionLimits,
    ) -> Self {
        let adjust = |gateway: Gateway| gateway.with_connection_limits(connection_limits);
        Self::adjusted(template, functions, limits, adjust).await
    }

    /// Functions that are not listed return 200.
    pub(crate) async fn adjusted(
        template: Template,
        functions: impl IntoIterator<Item = (&'static str, Behavior)>,
        limits: GatewayLimits,
        adjust: impl FnOnce(Gateway) -> Gateway,
    ) -> Self {
        let functions = Arc::new(Functions::new(functions));
        let connections = Arc::new(Connections::default());
        let queues = Arc::new(Queues::new(&template));
        let gateway =
            Gateway::new(template, functions.clone(), connections.clone(), queues.clone(), limits).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(adjust(gateway).serve(listener, async {
            _ = stopped.await;
        }));
        Self { address, functions, connections, queues, stop: Some(stop), serving: Some(serving) }
    }

    /// Stops the gateway.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until the gateway has stopped.
    pub(crate) async fn stopped(&mut self) {
        timeout(TIMEOUT, self.serving.take().unwrap()).await.expect("the gateway stops").unwrap();
    }

    /// The next event that this function receives.
    pub(crate) async fn event(&self, function: &str) -> Value {
        serde_json::from_str(&self.functions.raw_event(function).await).unwrap()
    }

    /// The id of the next connection that `$connect` accepts.
    pub(crate) async fn connection_id(&self) -> String {
        self.event("connect").await["requestContext"]["connectionId"].as_str().unwrap().to_owned()
    }

    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a handshake for this path and query, with these headers. A refusal is the error.
    pub(crate) async fn handshake(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Socket, Response), http::Response<Option<Vec<u8>>>> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((stream, response)) => Ok((Socket::new(stream), response)),
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("the handshake is neither accepted nor refused: {error}"),
        }
    }

    /// Opens a socket.
    pub(crate) async fn connect(&self) -> Socket {
        self.handshake("/", &[]).await.unwrap().0
    }

    /// Sends a handshake that must be refused, and returns the status.
    pub(crate) async fn refused_status(&self) -> u16 {
        self.handshake("/", &[]).await.err().expect("the handshake is refused").status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.http_url(path)).await.unwrap()
    }

    /// The status and body of a GET request.
    pub(crate) async fn get_text(&self, path: &str) -> (u16, String) {
        let response = self.get(path).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

pub(crate) fn template(yaml: &str) -> Template {
    Template::parse(yaml).unwrap()
}

/// Limits whose integration timeouts are short enough for a test.
pub(crate) fn short_timeouts() -> GatewayLimits {
    let short = Duration::from_millis(50);
    GatewayLimits { integration_timeout: short, http_integration_timeout: short, ..GatewayLimits::default() }
}

/// Returns this status and nothing else.
pub(crate) fn status(code: u16) -> Behavior {
    Behavior::Return(json!({ "statusCode": code }))
}
