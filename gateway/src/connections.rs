//! The open sockets, by connection id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use shared::base::push::{NotDelivered, Sockets};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::limits::{BYTES_WAITING, FRAMES_WAITING};

/// What a socket is told to do.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Text frames to send, at most [`FRAMES_WAITING`] and [`BYTES_WAITING`].
    pub(crate) frames: mpsc::Receiver<Waiting>,
    /// To close, beside the frames, so that a socket that does not read hears of it too.
    pub(crate) close: oneshot::Receiver<Closing>,
}

/// A frame that waits for its socket.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) frame: Bytes,
    /// Its share of [`BYTES_WAITING`], until it is sent.
    _share: OwnedSemaphorePermit,
}

/// Code and reason of a close.
pub(crate) type Closing = (u16, &'static str);

/// A `DELETE` of a connection closes it with this (captured from AWS; see `docs/gateway.md`).
pub(crate) const CLOSED_BY_SERVER: Closing = (1000, "Connection Closed Normally");
/// The socket's time is over, or the gateway stops.
pub(crate) const GOING_AWAY: Closing = (1001, "Going away");

/// An open socket.
#[derive(Debug)]
struct Open {
    frames: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
    /// None when it has been told to close: whoever posts from now on is late.
    close: Option<oneshot::Sender<Closing>>,
    details: Details,
}

impl Open {
    fn is_gone(&self) -> bool {
        self.close.is_none() || self.frames.is_closed()
    }

    /// Queues a frame.
    fn send(&mut self, frame: Bytes) -> Result<(), NotDelivered> {
        if self.is_gone() {
            return Err(NotDelivered::Gone);
        }
        let bytes = u32::try_from(frame.len()).map_err(|_| NotDelivered::Failed)?;
        let share = self.bytes.clone().try_acquire_many_owned(bytes);
        let waiting = Waiting { frame, _share: share.map_err(|_| NotDelivered::Throttled)? };
        self.frames.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => NotDelivered::Gone,
            mpsc::error::TrySendError::Full(_) => NotDelivered::Throttled,
        })?;
        self.details.last_active_at = Utc::now();
        Ok(())
    }

    /// Tells it to close once it has sent what waits, for which it has a moment and no more.
    fn close(&mut self, closing: Closing) -> Result<(), NotDelivered> {
        let close = self.close.take().ok_or(NotDelivered::Gone)?;
        close.send(closing).map_err(|_| NotDelivered::Gone)
    }
}

/// What the management API tells of a socket.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) connected_at: DateTime<Utc>,
    pub(crate) source_ip: String,
    pub(crate) user_agent: Option<String>,
    /// The last message, either way.
    pub(crate) last_active_at: DateTime<Utc>,
}

/// The open sockets of one gateway.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<HashMap<String, Open>>,
    count: watch::Sender<usize>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { open: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        // Every change of the map is one call, so a panic cannot leave it half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket whose `$connect` has succeeded: from now on frames can be posted to it.
    pub(crate) fn add(&self, connection_id: &str, details: Details) -> Orders {
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
        let (close, told) = oneshot::channel();
        let bytes = Arc::new(Semaphore::new(BYTES_WAITING));
        let mut open = self.open();
        open.insert(connection_id.to_owned(), Open { frames, bytes, close: Some(close), details });
        self.count.send_replace(open.len());
        Orders { frames: waiting, close: told }
    }

    pub(crate) fn remove(&self, connection_id: &str) {
        let mut open = self.open();
        open.remove(connection_id);
        self.count.send_replace(open.len());
    }

    /// Notes a message of the client.
    pub(crate) fn heard(&self, connection_id: &str) {
        if let Some(socket) = self.open().get_mut(connection_id) {
            socket.details.last_active_at = Utc::now();
        }
    }

    /// Tells every socket to close, and waits until each is gone.
    pub(crate) async fn close_all(&self) {
        for socket in self.open().values_mut() {
            // One that is closing already needs no telling.
            _ = socket.close(GOING_AWAY);
        }
        _ = self.count.subscribe().wait_for(|&count| count == 0).await;
    }

    /// What is known of an open socket; nothing of one that is closed, or not yet established.
    pub(crate) fn details(&self, connection_id: &str) -> Option<Details> {
        let open = self.open();
        let socket = open.get(connection_id)?;
        (!socket.is_gone()).then(|| socket.details.clone())
    }
}

impl Sockets for Connections {
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
        let posted =
            self.open().get_mut(connection_id).ok_or(NotDelivered::Gone).and_then(|open| open.send(frame));
        Box::pin(async move { posted })
    }

    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
        let closed = self
            .open()
            .get_mut(connection_id)
            .ok_or(NotDelivered::Gone)
            .and_then(|open| open.close(CLOSED_BY_SERVER));
        Box::pin(async move { closed })
    }
}

/// An id like API Gateway's: 11 random bytes in base64, 15 characters and a `=`.
pub(crate) fn new_id() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 11]>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MESSAGE_BYTES;

    /// An open socket that sends nothing of what it is told, and the number of frames of this size that
    /// it takes.
    async fn taken(bytes: usize) -> (Connections, Orders, usize) {
        let connections = Connections::default();
        let now = Utc::now();
        let details =
            Details { connected_at: now, source_ip: String::new(), user_agent: None, last_active_at: now };
        let orders = connections.add("deaf", details);
        let frame = Bytes::from(vec![b'x'; bytes]);
        let mut taken = 0;
        while connections.post("deaf", frame.clone()).await.is_ok() {
            taken += 1;
        }
        assert_eq!(connections.post("deaf", frame).await, Err(NotDelivered::Throttled));
        (connections, orders, taken)
    }

    #[tokio::test]
    async fn what_waits_for_a_socket_is_bounded_in_frames_and_in_bytes() {
        assert_eq!(taken(10).await.2, FRAMES_WAITING);
        assert_eq!(taken(MESSAGE_BYTES).await.2, BYTES_WAITING / MESSAGE_BYTES);
    }

    #[tokio::test]
    async fn what_has_been_sent_makes_room_for_more() {
        let (connections, mut orders, _) = taken(MESSAGE_BYTES).await;
        let sent = orders.frames.recv().await;
        assert_eq!(connections.post("deaf", "next".into()).await, Err(NotDelivered::Throttled));
        drop(sent);
        assert_eq!(connections.post("deaf", "next".into()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_close_finds_its_way_past_a_full_queue() {
        let (connections, orders, _) = taken(10).await;
        assert_eq!(connections.close("deaf").await, Ok(()));
        assert_eq!(orders.close.await, Ok(CLOSED_BY_SERVER));
        assert_eq!(connections.post("deaf", "late".into()).await, Err(NotDelivered::Gone));
        assert_eq!(connections.close("deaf").await, Err(NotDelivered::Gone));
        assert!(connections.details("deaf").is_none());
    }
}
