//! The transport to sockets: API Gateway's `@connections`, or sockets that this process holds itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::error::{DisplayErrorContext, SdkError};
use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::{Notify, OnceCell};

use crate::Result;
use crate::base::ids::ConnectionId;

/// When a post is given up. Either its socket does not read, or a VPC has no route out, which makes posts
/// hang instead of fail.
pub(crate) const POST_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a post was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDelivered {
    /// 410: the socket is closed, or its handshake is not finished.
    Gone,
    /// 429: too many posts at once, or the socket does not read.
    Throttled,
    /// Any other failure, which was logged where it happened.
    Failed,
}

/// The open sockets that this process holds.
pub trait Sockets: fmt::Debug + Send + Sync {
    /// Queues a text frame.
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>>;
    /// Queues a text frame, if that can be done without waiting. Returns whether it was queued.
    fn post_at_once(&self, connection_id: &str, frame: &Bytes) -> bool {
        _ = (connection_id, frame);
        false
    }
    /// Sends a text frame to a socket as soon as it opens, before any other. Returns false where that cannot be done.
    fn post_when_open(&self, connection_id: &str, frame: Bytes) -> bool {
        _ = (connection_id, frame);
        false
    }
    /// Closes a socket.
    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>>;
    /// Whether the socket is one of these.
    fn holds(&self, connection_id: &str) -> bool {
        _ = connection_id;
        true
    }
}

/// Another server process over the same database.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its id.
    pub process_id: String,
    /// Where it takes posts.
    pub address: SocketAddr,
    /// The key that it asks for.
    pub key: SecretString,
}

/// The way to other server processes.
pub trait Peers: fmt::Debug + Send + Sync {
    /// Hands a process a job for its sockets. Returns whether it has taken it.
    fn post(&self, peer: Peer, job: String) -> BoxFuture<'_, bool>;
}

/// The server process that this code runs in.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id, which stands in the rows of its sockets.
    pub id: Arc<str>,
    /// The way to the others.
    pub peers: Arc<dyn Peers>,
    /// Told when one of them does not answer: it may be gone.
    pub missed: Arc<Notify>,
}

/// How to reach the sockets.
#[derive(Clone, Debug)]
pub enum Push {
    /// API Gateway's `@connections` at this endpoint. The client is created at the first push.
    Management(Arc<Management>),
    /// The sockets that this process holds itself.
    Local(Arc<dyn Sockets>),
}

/// API Gateway's management API.
#[derive(Debug)]
pub struct Management {
    endpoint: Option<String>,
    client: OnceCell<Client>,
}

impl Push {
    /// Whether this process holds the sockets itself. Then it also lives on after a request was answered.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Creates the client of the management API, unless that is done. Reading its settings can take seconds in a new
    /// process on a busy machine, which no post's deadline should pay for.
    pub(crate) async fn prepare(&self) {
        if let Self::Management(management) = self {
            management.client().await;
        }
    }

    /// Pushes through the management API at `endpoint` (`https://{api}/{stage}`).
    pub fn management(endpoint: Option<String>) -> Self {
        Self::Management(Arc::new(Management { endpoint, client: OnceCell::new() }))
    }

    /// Posts a text frame to a socket.
    ///
    /// # Errors
    /// The reason why the frame was not delivered.
    pub(crate) async fn post(&self, connection_id: &ConnectionId, frame: Bytes) -> Result<(), NotDelivered> {
        match self {
            Self::Local(sockets) => sockets.post(connection_id.as_str(), frame).await,
            Self::Management(management) => {
                let request = management.client().await.post_to_connection();
                let sent = request.connection_id(connection_id.as_str()).data(Blob::new(frame)).send().await;
                sent.map(drop).map_err(not_delivered)
            }
        }
    }

    /// Posts a text frame to a socket, if that can be done without waiting. Returns whether it was posted. Most posts to
    /// sockets of this process are made in this way, which costs neither a future nor a timer for each of them.
    pub(crate) fn post_at_once(&self, connection_id: &ConnectionId, frame: &Bytes) -> bool {
        match self {
            Self::Local(sockets) => sockets.post_at_once(connection_id.as_str(), frame),
            Self::Management(_) => false,
        }
    }

    /// Sends a text frame to a socket whose `$connect` is running, as soon as it opens and before any other. Returns false
    /// where that cannot be done: API Gateway takes no posts for such a socket.
    pub(crate) fn post_when_open(&self, connection_id: &ConnectionId, frame: Bytes) -> bool {
        match self {
            Self::Local(sockets) => sockets.post_when_open(connection_id.as_str(), frame),
            Self::Management(_) => false,
        }
    }

    /// Whether a post to the socket may succeed from here. Only another process may hold it otherwise.
    pub(crate) fn holds(&self, connection_id: &ConnectionId) -> bool {
        match self {
            Self::Local(sockets) => sockets.holds(connection_id.as_str()),
            Self::Management(_) => true,
        }
    }

    /// Closes a socket.
    ///
    /// # Errors
    /// The reason why the socket could not be closed.
    pub(crate) async fn close(&self, connection_id: &ConnectionId) -> Result<(), NotDelivered> {
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
            let mut loader = aws_config::defaults(BehaviorVersion::latest())
                .timeout_config(timeouts)
                // A fan-out retries on its own, without holding up the other sockets.
                .retry_config(RetryConfig::disabled());
            if let Some(endpoint) = &self.endpoint {
                loader = loader.endpoint_url(endpoint);
            }
            Client::new(&loader.load().await)
        };
        self.client.get_or_init(connect).await
    }
}

fn not_delivered<E: std::error::Error + 'static>(error: SdkError<E>) -> NotDelivered {
    // Compares the status, since the SDK tells errors apart by a code that proxies may drop.
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(410) => NotDelivered::Gone,
        Some(429) => NotDelivered::Throttled,
        status => {
            // The error alone says only that there was one.
            tracing::warn!(?status, error = %DisplayErrorContext(&error), "a post failed");
            NotDelivered::Failed
        }
    }
}
