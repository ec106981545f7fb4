//! The jobs of queues: what a function does after another one has answered.

use serde::{Deserialize, Serialize};
use shared::sockets::connections::Closed;
use shared::sockets::handshakes::{self, HandshakeJob};
use shared::sockets::tell::FanOutJob;
use shared::{App, Result};

use crate::websocket;

/// An event of a queue (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueEvent {
    pub(crate) records: Vec<Record>,
}

/// A job, as a queue delivers it. A queue may deliver a job more than once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) message_id: String,
    pub(crate) body: String,
}

/// The answer to a queue: it delivers the failed jobs again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchResponse {
    pub(crate) batch_item_failures: Vec<BatchItemFailure>,
}

/// A job that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchItemFailure {
    pub(crate) item_identifier: String,
}

/// `FanOutQueue`: posts a push to a part of its audience.
pub async fn fan_out(app: &App, job: FanOutJob) -> Result<()> {
    app.post(job.into()).await;
    Ok(())
}

/// A job of `PresenceQueue`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum SocketJob {
    /// A user's last socket has closed, some seconds ago.
    Closed(Closed),
    /// A socket of Socket.IO has opened, and gets its open packet or has to have said who it is.
    Handshake(HandshakeJob),
}

/// `PresenceQueue`: forgets a user's last socket, some seconds after it has closed. Opens a socket of Socket.IO, and closes
/// it when its client does not say who it is.
pub async fn presence(app: &App, job: SocketJob) -> Result<()> {
    match job {
        SocketJob::Closed(closed) => websocket::forget(app, &closed).await,
        SocketJob::Handshake(job) => handshakes::go_on(app, job).await,
    }
}
