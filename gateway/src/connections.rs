//! The open WebSocket connections, by connection id.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::{CloseFrame, Utf8Bytes};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use shared::base::push::{NotDelivered, Sockets};
use shared::base::socket::Protocol;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::limits::{BYTES_WAITING, FRAMES_WAITING};

/// Closes a socket whose connection was deleted (captured from AWS; see `docs/gateway.md`).
const CLOSED_BY_SERVER: CloseFrame =
    CloseFrame { code: 1000, reason: Utf8Bytes::from_static("Connection Closed Normally") };
/// Closes a socket that has reached a time limit or whose gateway shuts down.
pub(crate) const GOING_AWAY: CloseFrame =
    CloseFrame { code: 1001, reason: Utf8Bytes::from_static("Going away") };

/// What stays the same for the lifetime of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) connected_at: DateTime<Utc>,
    pub(crate) domain_name: String,
    pub(crate) source_ip: String,
    pub(crate) user_agent: Option<String>,
    /// What the client speaks. API Gateway does not know that; see [`crate::socket_io`].
    pub(crate) protocol: Protocol,
}

impl Connection {
    /// The `identity` in events and in the management API.
    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity { source_ip: &self.source_ip, user_agent: self.user_agent.as_deref() }
    }
}

/// What a connection's client tells about itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity<'a> {
    source_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

/// What a socket receives from [`Connections`].
#[derive(Debug)]
pub(crate) struct SocketQueue {
    /// Text frames to send: at most [`FRAMES_WAITING`] frames with [`BYTES_WAITING`] bytes together.
    pub(crate) frames: mpsc::Receiver<Box<QueuedFrame>>,
    /// The signal to close. It does not queue behind the frames, so that it also reaches a socket
    /// whose client does not read.
    pub(crate) close: oneshot::Receiver<CloseFrame>,
}

/// A text frame that waits until its socket sends it. In a box, because even an empty queue has room for 32.
#[derive(Debug)]
pub(crate) struct QueuedFrame {
    pub(crate) payload: Bytes,
    /// The frame's share of [`BYTES_WAITING`].
    _permit: OwnedSemaphorePermit,
}

/// A socket, as [`Connections`] knows it.
#[derive(Debug)]
enum SocketState {
    /// Its handshake is under way. What comes meanwhile is remembered.
    Opening(Opening),
    Open(OpenSocket),
}

/// What a socket gets as soon as it opens.
#[derive(Debug, Default)]
struct Opening {
    first: Option<Bytes>,
    close: Option<CloseFrame>,
}

/// An open socket, as [`Connections`] reaches it.
#[derive(Debug)]
struct OpenSocket {
    connection: Arc<Connection>,
    last_active_at: DateTime<Utc>,
    frames: mpsc::Sender<Box<QueuedFrame>>,
    bytes: Arc<Semaphore>,
    /// `None` once the socket has been told to close.
    close: Option<oneshot::Sender<CloseFrame>>,
}

impl SocketState {
    /// Tells the socket to close.
    fn close(&mut self, frame: CloseFrame) -> Result<(), NotDelivered> {
        match self {
            Self::Opening(opening) => {
                opening.close.get_or_insert(frame);
                Ok(())
            }
            Self::Open(socket) => socket.close(frame),
        }
    }
}

impl OpenSocket {
    fn is_gone(&self) -> bool {
        self.close.is_none() || self.frames.is_closed()
    }

    /// Queues a text frame.
    fn send(&mut self, payload: Bytes) -> Result<(), NotDelivered> {
        if self.is_gone() {
            return Err(NotDelivered::Gone);
        }
        let bytes = u32::try_from(payload.len()).map_err(|_| NotDelivered::Failed)?;
        let permit = self.bytes.clone().try_acquire_many_owned(bytes);
        let permit = permit.map_err(|_| NotDelivered::Throttled)?;
        let frame = Box::new(QueuedFrame { payload, _permit: permit });
        self.frames.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => NotDelivered::Gone,
            mpsc::error::TrySendError::Full(_) => NotDelivered::Throttled,
        })?;
        self.last_active_at = Utc::now();
        Ok(())
    }

    /// Tells the socket to close. It first gets a moment to send the frames that wait.
    fn close(&mut self, frame: CloseFrame) -> Result<(), NotDelivered> {
        let close = self.close.take().ok_or(NotDelivered::Gone)?;
        close.send(frame).map_err(|_| NotDelivered::Gone)
    }
}

/// What the management API returns about a connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionDetails {
    pub(crate) connection: Arc<Connection>,
    /// When the last message was received or posted.
    pub(crate) last_active_at: DateTime<Utc>,
}

/// The sockets of one gateway.
#[derive(Debug)]
pub struct Connections {
    sockets: Mutex<HashMap<String, SocketState>>,
    count: watch::Sender<usize>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { sockets: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Connections {
    fn sockets(&self) -> MutexGuard<'_, HashMap<String, SocketState>> {
        // Each critical section changes the map with a single call, so a panic leaves it consistent.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection whose `$connect` is about to run. The function may tell its id to others before it
    /// returns, so a close can come before the socket is open.
    pub(crate) fn announce(&self, connection_id: &str) {
        let mut sockets = self.sockets();
        sockets.insert(connection_id.to_owned(), SocketState::Opening(Opening::default()));
        self.count.send_replace(sockets.len());
    }

    /// Opens a connection whose `$connect` has succeeded. From now on frames can be posted to it, unless it was
    /// closed in the meantime: then the queue already has the close.
    pub(crate) fn open(&self, connection: Arc<Connection>) -> SocketQueue {
        let (frames, frames_receiver) = mpsc::channel(FRAMES_WAITING);
        let (close, close_receiver) = oneshot::channel();
        let id = connection.id.clone();
        let mut socket = OpenSocket {
            last_active_at: connection.connected_at,
            connection,
            frames,
            bytes: Arc::new(Semaphore::new(BYTES_WAITING)),
            close: Some(close),
        };
        let mut sockets = self.sockets();
        if let Some(SocketState::Opening(Opening { first, close })) = sockets.get_mut(&id) {
            // The receivers are still here.
            _ = first.take().map(|frame| socket.send(frame));
            _ = close.take().map(|close| socket.close(close));
        }
        sockets.insert(id, SocketState::Open(socket));
        self.count.send_replace(sockets.len());
        SocketQueue { frames: frames_receiver, close: close_receiver }
    }

    pub(crate) fn remove(&self, connection_id: &str) {
        let mut sockets = self.sockets();
        sockets.remove(connection_id);
        self.count.send_replace(sockets.len());
    }

    /// Records that the client has sent a message.
    pub(crate) fn message_received(&self, connection_id: &str) {
        if let Some(SocketState::Open(socket)) = self.sockets().get_mut(connection_id) {
            socket.last_active_at = Utc::now();
        }
    }

    /// How many sockets are open, or about to be.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Tells every socket to close, after the frame that `farewell` makes for it, and waits until all connections are
    /// removed.
    pub(crate) async fn close_all(&self, farewell: impl Fn(Protocol) -> Option<Bytes>) {
        for socket in self.sockets().values_mut() {
            if let SocketState::Open(socket) = socket
                && let Some(frame) = farewell(socket.connection.protocol)
            {
                // Fails for a socket that does not read.
                _ = socket.send(frame);
            }
            // Fails for a socket that is already closing.
            _ = socket.close(GOING_AWAY);
        }
        _ = self.count.subscribe().wait_for(|&count| count == 0).await;
    }

    /// Returns `None` for a connection that is closed or not yet established.
    pub(crate) fn details(&self, connection_id: &str) -> Option<ConnectionDetails> {
        let sockets = self.sockets();
        let SocketState::Open(socket) = sockets.get(connection_id)? else { return None };
        if socket.is_gone() {
            return None;
        }
        Some(ConnectionDetails {
            connection: socket.connection.clone(),
            last_active_at: socket.last_active_at,
        })
    }

    /// Queues a text frame for a socket.
    fn send(&self, connection_id: &str, frame: Bytes) -> Result<(), NotDelivered> {
        match self.sockets().get_mut(connection_id) {
            Some(SocketState::Open(socket)) => socket.send(frame),
            Some(SocketState::Opening(_)) | None => Err(NotDelivered::Gone),
        }
    }
}

impl Sockets for Connections {
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
        Box::pin(ready(self.send(connection_id, frame)))
    }

    fn post_at_once(&self, connection_id: &str, frame: &Bytes) -> bool {
        self.send(connection_id, frame.clone()).is_ok()
    }

    fn post_when_open(&self, connection_id: &str, frame: Bytes) -> bool {
        match self.sockets().get_mut(connection_id) {
            Some(SocketState::Opening(opening)) => {
                opening.first = Some(frame);
                true
            }
            Some(SocketState::Open(_)) | None => false,
        }
    }

    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
        let closed = match self.sockets().get_mut(connection_id) {
            Some(socket) => socket.close(CLOSED_BY_SERVER),
            None => Err(NotDelivered::Gone),
        };
        Box::pin(ready(closed))
    }

    fn holds(&self, connection_id: &str) -> bool {
        self.sockets().contains_key(connection_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MESSAGE_BYTES;

    /// A connection whose socket sends nothing, and whose queue is full.
    struct FullQueue {
        connections: Connections,
        socket: SocketQueue,
        frames: usize,
    }

    /// Fills a queue with frames of this size.
    async fn full_queue(frame_bytes: usize) -> FullQueue {
        let connections = Connections::default();
        let socket = connections.open(Arc::new(Connection {
            id: "slow".to_owned(),
            connected_at: Utc::now(),
            domain_name: String::new(),
            source_ip: String::new(),
            user_agent: None,
            protocol: Protocol::Frames,
        }));
        let frame = Bytes::from(vec![b'x'; frame_bytes]);
        let mut frames = 0;
        while connections.post("slow", frame.clone()).await.is_ok() {
            frames += 1;
        }
        assert_eq!(connections.post("slow", frame).await, Err(NotDelivered::Throttled));
        FullQueue { connections, socket, frames }
    }

    #[tokio::test]
    async fn a_sockets_queue_is_bounded_in_frames_and_in_bytes() {
        assert_eq!(full_queue(10).await.frames, FRAMES_WAITING);
        assert_eq!(full_queue(MESSAGE_BYTES).await.frames, BYTES_WAITING / MESSAGE_BYTES);
    }

    #[tokio::test]
    async fn a_frame_that_is_sent_makes_room_for_another() {
        let FullQueue { connections, mut socket, .. } = full_queue(MESSAGE_BYTES).await;
        let frame = socket.frames.recv().await;
        assert_eq!(connections.post("slow", "next".into()).await, Err(NotDelivered::Throttled));
        drop(frame);
        assert_eq!(connections.post("slow", "next".into()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_close_bypasses_a_full_queue() {
        let FullQueue { connections, socket, .. } = full_queue(10).await;
        assert_eq!(connections.close("slow").await, Ok(()));
        assert_eq!(socket.close.await, Ok(CLOSED_BY_SERVER));
        assert_eq!(connections.post("slow", "late".into()).await, Err(NotDelivered::Gone));
        assert_eq!(connections.close("slow").await, Err(NotDelivered::Gone));
        assert!(connections.details("slow").is_none());
    }
}
