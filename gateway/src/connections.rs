//! The open sockets, by connection id.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use shared::push::{NotDelivered, Sockets};
use tokio::sync::{mpsc, watch};

use crate::limits::FRAMES_WAITING;

/// What a socket is told to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send a text frame.
    Send(Bytes),
    /// Close with this code and reason.
    Close(u16, &'static str),
}

/// Code and reason of a close.
pub(crate) type Closing = (u16, &'static str);

/// A `DELETE` of a connection closes it with this (captured from AWS; see `docs/gateway.md`).
pub(crate) const CLOSED_BY_SERVER: Order = Order::Close(1000, "Connection Closed Normally");
/// The socket's time is over, or the gateway stops.
pub(crate) const GOING_AWAY: Closing = (1001, "Going away");

/// An open socket.
#[derive(Debug)]
struct Open {
    orders: mpsc::Sender<Order>,
    /// Told to close: whoever posts from now on is late.
    closing: bool,
    details: Details,
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
    pub(crate) fn add(&self, connection_id: &str, details: Details) -> mpsc::Receiver<Order> {
        let (orders, receiver) = mpsc::channel(FRAMES_WAITING);
        let mut open = self.open();
        open.insert(connection_id.to_owned(), Open { orders, closing: false, details });
        self.count.send_replace(open.len());
        receiver
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
        let sockets: Vec<_> = self.open().values().map(|socket| socket.orders.clone()).collect();
        for socket in sockets {
            // A full queue belongs to a socket that does not read: it ends with the process.
            _ = socket.try_send(Order::Close(GOING_AWAY.0, GOING_AWAY.1));
        }
        _ = self.count.subscribe().wait_for(|&count| count == 0).await;
    }

    /// What is known of an open socket; nothing of one that is closed, or not yet established.
    pub(crate) fn details(&self, connection_id: &str) -> Option<Details> {
        let open = self.open();
        let socket = open.get(connection_id)?;
        (!socket.closing && !socket.orders.is_closed()).then(|| socket.details.clone())
    }

    fn order(&self, connection_id: &str, order: Order) -> Result<(), NotDelivered> {
        let closing = matches!(order, Order::Close(..));
        let mut open = self.open();
        let socket = open.get_mut(connection_id).ok_or(NotDelivered::Gone)?;
        if socket.closing {
            return Err(NotDelivered::Gone);
        }
        socket.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => NotDelivered::Gone,
            mpsc::error::TrySendError::Full(_) => NotDelivered::Throttled,
        })?;
        socket.closing = closing;
        socket.details.last_active_at = Utc::now();
        Ok(())
    }
}

impl Sockets for Connections {
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
        let posted = self.order(connection_id, Order::Send(frame));
        Box::pin(async move { posted })
    }

    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
        let closed = self.order(connection_id, CLOSED_BY_SERVER);
        Box::pin(async move { closed })
    }
}

/// An id like API Gateway's: 11 random bytes in base64, 15 characters and a `=`.
pub(crate) fn new_id() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 11]>())
}
