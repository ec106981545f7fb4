//! Pushes: frames to sockets, through API Gateway's `@connections` or straight to a local socket.
//!
//! A push happens after the commit. It may fail or get lost; `sync` is how a client catches up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::app::App;
use crate::connections::{self, ConnectionId};
use crate::events::Event;

/// How many posts of one fan-out are under way at once.
const CONCURRENT_POSTS: usize = 32;
/// Without a route out of a VPC a post hangs instead of failing.
const POST_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a post did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDelivered {
    /// 410: the socket is closed, or its handshake is not done.
    Gone,
    /// Anything else; logged where it happened.
    Failed,
}

/// The open sockets of this process.
pub trait Sockets: fmt::Debug + Send + Sync {
    /// Queues a text frame.
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>>;
    /// Closes a socket.
    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>>;
}

/// The way to the sockets.
#[derive(Clone, Debug)]
pub enum Push {
    /// API Gateway's `@connections` at this endpoint; the client is made at the first push.
    Management(Arc<Management>),
    /// Sockets that this process holds itself.
    Local(Arc<dyn Sockets>),
}

/// API Gateway's management API.
#[derive(Debug)]
pub struct Management {
    endpoint: Option<String>,
    client: OnceCell<Client>,
}

impl Push {
    /// Pushes through the management API at `endpoint` (`https://{api}/{stage}`).
    pub fn management(endpoint: Option<String>) -> Self {
        Self::Management(Arc::new(Management { endpoint, client: OnceCell::new() }))
    }

    async fn post(&self, connection_id: &ConnectionId, frame: Bytes) -> Result<(), NotDelivered> {
        match self {
            Self::Local(sockets) => sockets.post(connection_id.as_str(), frame).await,
            Self::Management(management) => {
                let request = management.client().await.post_to_connection();
                let sent = request.connection_id(connection_id.as_str()).data(Blob::new(frame)).send().await;
                sent.map(drop).map_err(not_delivered)
            }
        }
    }

    async fn close(&self, connection_id: &ConnectionId) -> Result<(), NotDelivered> {
        match self {
            Self::Local(sockets) => sockets.close(connection_id.as_str()).await,
            Self::Management(management) => {
                let request = management.client().await.delete_connection();
                let closed = request.connection_id(connection_id.as_str()).send().await;
                closed.map(drop).map_err(not_delivered)
            }
        }
    }
}

impl Management {
    async fn client(&self) -> &Client {
        let connect = async || {
            let timeouts = TimeoutConfig::builder().operation_timeout(POST_TIMEOUT).build();
            let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
            if let Some(endpoint) = &self.endpoint {
                loader = loader.endpoint_url(endpoint);
            }
            Client::new(&loader.load().await)
        };
        self.client.get_or_init(connect).await
    }
}

fn not_delivered<E: std::error::Error + 'static>(error: SdkError<E>) -> NotDelivered {
    // By status, since the SDK maps errors by a code that proxies may drop.
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(410) => NotDelivered::Gone,
        status => {
            tracing::warn!(?status, %error, "a post failed");
            NotDelivered::Failed
        }
    }
}

impl App {
    /// Tells sockets what has been committed. Sockets that are gone expire.
    pub async fn broadcast(&self, event: &impl Serialize, sockets: impl IntoIterator<Item = ConnectionId>) {
        let Some(frame) = serialized(event) else {
            return;
        };
        let gone: Vec<ConnectionId> = stream::iter(sockets)
            .map(|connection_id| {
                let frame = frame.clone();
                async move {
                    let gone = self.push.post(&connection_id, frame).await == Err(NotDelivered::Gone);
                    gone.then_some(connection_id)
                }
            })
            .buffer_unordered(CONCURRENT_POSTS)
            .filter_map(async |gone| gone)
            .collect()
            .await;
        if let Err(error) = connections::end_gone(&self.db, &gone).await {
            error.log("");
        }
    }

    /// Sends one socket the answer to its frame.
    pub async fn answer(&self, connection_id: &ConnectionId, answer: &impl Serialize) {
        if let Some(frame) = serialized(answer) {
            // A socket that closed meanwhile has its own `$disconnect`.
            _ = self.push.post(connection_id, frame).await;
        }
    }

    /// Tells the sockets of an ended session so, and closes them.
    pub async fn end(&self, sockets: Vec<ConnectionId>) {
        self.broadcast(&Event::SessionRevoked {}, sockets.iter().cloned()).await;
        stream::iter(sockets)
            .for_each_concurrent(CONCURRENT_POSTS, async |socket| self.hang_up(&socket).await)
            .await;
    }

    /// Closes a socket.
    pub async fn hang_up(&self, connection_id: &ConnectionId) {
        _ = self.push.close(connection_id).await;
    }
}

fn serialized(frame: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(frame)
        .map(Bytes::from)
        .inspect_err(|error| tracing::error!(%error, "a frame cannot be written as JSON"))
        .ok()
}
