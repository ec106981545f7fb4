//! Other server processes over the same database: each takes posts to its sockets from the others, who find its address
//! and its key in the database (`docs/contract.md`, "Several processes").

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use shared::App;
use shared::base::push::{Peer, Peers};
use shared::config::ConnectionLimits;
use shared::sockets::processes::ServerProcess;
use shared::sockets::tell::FanOutJob;
use tokio::net::TcpListener;

use crate::limits::GatewayLimits;
use crate::port::Port;
use crate::proxies::Proxies;

const PATH: &str = "/posts";
/// The most bytes in a job. Those of one message are far fewer.
const JOB_BYTES: usize = 4 * 1024 * 1024;
/// When a process counts as missed.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Below the time after which the other side ends an idle connection.
const IDLE: Duration = Duration::from_secs(20);
/// Processes are few, and each has some connections.
const CONNECTIONS: ConnectionLimits = ConnectionLimits { all: Some(500), of_address: None };

/// Posts to other processes.
#[derive(Debug)]
pub struct PeerClient(reqwest::Client);

impl PeerClient {
    /// Creates a client that connects at its first post.
    ///
    /// # Errors
    /// Its TLS, which it does not use, cannot be set up.
    pub fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).pool_idle_timeout(IDLE).no_proxy();
        client.build().map(Self).map_err(|error| error.to_string())
    }
}

impl Peers for PeerClient {
    fn post(&self, peer: Peer, job: String) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let post = self.0.post(format!("http://{}{PATH}", peer.address));
            match post.bearer_auth(peer.key.expose_secret()).body(job).send().await {
                Ok(answer) if answer.status() == StatusCode::NO_CONTENT => true,
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    tracing::warn!(process = peer.process_id, status, "another process refused a post");
                    false
                }
                Err(error) => {
                    tracing::warn!(process = peer.process_id, %error, "another process was not reached");
                    false
                }
            }
        })
    }
}

/// Takes posts for the sockets of this process. Never returns.
pub async fn serve(app: App, process: Arc<ServerProcess>, listener: TcpListener) {
    let (tls, proxies, limits) = (None, Proxies::default(), GatewayLimits::default());
    let port = Port { listener, tls, proxies, connections: CONNECTIONS, limits };
    let handle = move |_, request| handle(app.clone(), process.clone(), request);
    port.serve(handle, std::future::pending()).await;
}

async fn handle(app: App, process: Arc<ServerProcess>, request: Request<Body>) -> Response<Body> {
    let key = request.headers().get(header::AUTHORIZATION);
    let key = key.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if !key.is_some_and(|key| process.accepts(key)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if request.method() != Method::POST || request.uri().path() != PATH {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(body) = to_bytes(request.into_body(), JOB_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match serde_json::from_slice::<FanOutJob>(&body) {
        Ok(job) => {
            app.post_here(job).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}
