//! A gateway on a port of its own, with functions that do what a test tells them.

mod functions;
mod raw;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::limits::Limits;
use gateway::template::Template;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, http};

pub(crate) use functions::{Does, Functions};
pub(crate) use raw::{Raw, UPGRADE};
pub(crate) use socket::Socket;

/// A test that waits longer than this fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The routes of the tour.
pub(crate) const TEMPLATE: &str = include_str!("template.yaml");

/// A gateway that serves while this lives.
pub(crate) struct Tour {
    pub(crate) address: SocketAddr,
    pub(crate) functions: Arc<Functions>,
    pub(crate) connections: Arc<Connections>,
    stop: Option<oneshot::Sender<()>>,
}

impl Tour {
    /// The tour's template, its functions answering 200 but for these.
    pub(crate) async fn with(functions: impl IntoIterator<Item = (&'static str, Does)>) -> Self {
        Self::of(template(TEMPLATE), functions, Limits::default()).await
    }

    /// The tour's template with some limits turned down, its functions answering 200.
    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::of(template(TEMPLATE), [], limits).await
    }

    pub(crate) async fn of(
        template: Template,
        functions: impl IntoIterator<Item = (&'static str, Does)>,
        limits: Limits,
    ) -> Self {
        let functions = Arc::new(Functions::new(functions));
        let connections = Arc::new(Connections::default());
        let gateway = Gateway::new(template, functions.clone(), connections.clone(), limits).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(gateway.serve(listener, async {
            _ = stopped.await;
        }));
        Self { address, functions, connections, stop: Some(stop) }
    }

    /// Stops the gateway.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// The next event that this function was given.
    pub(crate) async fn event(&self, function: &str) -> Value {
        self.functions.event(function).await
    }

    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A handshake at this path and query, with these headers.
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
            Err(error) => panic!("neither open nor refused: {error}"),
        }
    }

    /// An open socket.
    pub(crate) async fn connect(&self) -> Socket {
        self.handshake("/", &[]).await.unwrap().0
    }

    /// The status of a handshake that is refused.
    pub(crate) async fn refusal(&self) -> u16 {
        self.handshake("/", &[]).await.err().expect("the handshake is refused").status().as_u16()
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.http_url(path)).await.unwrap()
    }

    /// Status and body of a GET.
    pub(crate) async fn get_text(&self, path: &str) -> (u16, String) {
        let response = self.get(path).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

pub(crate) fn template(yaml: &str) -> Template {
    Template::parse(yaml).unwrap()
}

/// The limits, with a wait for functions that a test can wait for.
pub(crate) fn impatient() -> Limits {
    let short = Duration::from_millis(50);
    Limits { integration_timeout: short, http_integration_timeout: short, ..Limits::default() }
}

/// An answer with this status and nothing else.
pub(crate) fn status(code: u16) -> Does {
    Does::Answer(json!({ "statusCode": code }))
}
