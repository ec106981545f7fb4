//! An open socket, from the handshake to the close.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use shared::base::push::Sockets;
use shared::base::socket::Protocol;
use shared::sockets::socket_io::{Heartbeat, PING, PONG};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use super::event::{ABNORMAL_CLOSURE, Event, error_message, invoke};
use crate::connections::{Connection, GOING_AWAY, QueuedFrame, SocketQueue};
use crate::gateway::Gateway;
use crate::integration::new_id;
use crate::limits::{CONCURRENT_MESSAGES, GatewayLimits};

/// Closes a socket that sends a binary frame (API Gateway: "Binary media types for WebSocket APIs").
const UNSUPPORTED_DATA: CloseFrame =
    CloseFrame { code: 1003, reason: Utf8Bytes::from_static("Unsupported data") };
/// Closes a socket that exceeds a quota of frames or messages (API Gateway quotas, WebSocket APIs).
const MESSAGE_TOO_LONG: CloseFrame =
    CloseFrame { code: 1009, reason: Utf8Bytes::from_static("Message too long") };
/// What `$disconnect` is given when a client closes without a code (captured from AWS; see
/// `docs/gateway.md`).
const NO_STATUS: CloseFrame =
    CloseFrame { code: 1005, reason: Utf8Bytes::from_static("Client-side close frame status not set") };

/// How long a client has to receive a close frame and to respond to it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a socket ends.
enum End {
    /// The gateway must close it.
    Close(CloseFrame),
    /// The client has closed it.
    ClosedByClient(Option<CloseFrame>),
    /// The connection has broken.
    Broken,
}

/// Serves an open socket until it ends, and returns the code and reason of the end.
pub(super) async fn serve(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    socket: WebSocket,
    SocketQueue { mut frames, close: close_signal }: SocketQueue,
) -> CloseFrame {
    let (mut sink, mut stream) = socket.split();
    let (last_message, last_sign) = (LastTime::now(), LastTime::now());
    let permits = Arc::new(Semaphore::new(CONCURRENT_MESSAGES));
    // Each of these runs while the others wait.
    let end = tokio::select! {
        end = read(gateway, connection, &mut stream, &permits, &last_message, &last_sign) => end,
        end = write(&mut sink, &mut frames, gateway.limits.send_timeout, &last_message) => end,
        frame = close_signal => frame.map_or(End::Broken, End::Close),
        () = expiry(&gateway.limits, &last_message) => End::Close(GOING_AWAY),
        () = heartbeat(gateway, connection, &permits, &last_sign) => End::Close(GOING_AWAY),
    };
    match end {
        End::Close(frame) => close(sink, stream, frames, frame).await,
        End::ClosedByClient(frame) => {
            // Flushing sends the close frame that responds to the client's.
            _ = timeout(CLOSE_TIMEOUT, sink.flush()).await;
            frame.unwrap_or(NO_STATUS)
        }
        End::Broken => ABNORMAL_CLOSURE,
    }
}

/// When something was last: a message that was received or sent, or a sign of the client's life.
struct LastTime(Mutex<Instant>);

impl LastTime {
    fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Reads messages and handles each in its own task. A gateway that stops reads no more.
async fn read(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    stream: &mut SplitStream<WebSocket>,
    permits: &Arc<Semaphore>,
    last_message: &LastTime,
    last_sign: &LastTime,
) -> End {
    let mut stopping = gateway.stopping.subscribe();
    loop {
        let permit = permits.clone().acquire_owned().await;
        // While it waited, nobody would have read a sign. From now on the client is silent.
        last_sign.is_now();
        let message = tokio::select! {
            biased;
            () = async { _ = stopping.wait_for(Option::is_some).await } => return std::future::pending().await,
            message = stream.next() => message,
        };
        match message {
            // The answer to a ping of `heartbeat`.
            Some(Ok(Message::Text(text))) if text == PONG && connection.protocol == Protocol::SocketIo => {}
            Some(Ok(Message::Text(text))) => {
                let under_way = gateway.messages.subscribe();
                // The gateway announces its stop before it looks for messages under way.
                if gateway.is_stopping() {
                    drop(under_way);
                    return std::future::pending().await;
                }
                last_message.is_now();
                gateway.connections.message_received(&connection.id);
                let (gateway, connection) = (gateway.clone(), connection.clone());
                tokio::spawn(async move {
                    handle_message(&gateway, &connection, text).await;
                    drop((permit, under_way));
                });
            }
            // The packet before it has announced it and was refused. API Gateway closes such a socket too.
            Some(Ok(Message::Binary(_))) if connection.protocol == Protocol::SocketIo => {}
            Some(Ok(Message::Binary(_))) => return End::Close(UNSUPPORTED_DATA),
            // The WebSocket library responds to pings. They do not count as messages.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => return End::ClosedByClient(frame),
            Some(Err(error)) if is_too_large(&error) => return End::Close(MESSAGE_TOO_LONG),
            Some(Err(_)) | None => return End::Broken,
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}

/// Invokes the function of the message's route, and sends the client an error if that fails. The
/// function's response is dropped, because functions push what clients should receive.
async fn handle_message(gateway: &Gateway, connection: &Connection, text: Utf8Bytes) {
    let request_id = new_id();
    let route_key = route_key(gateway, &text);
    let Some(function) = gateway.template.websocket.get(&route_key) else {
        return send_error(gateway, connection, "Forbidden", &request_id).await;
    };
    let mut event = Event::new(connection, &request_id, &route_key, "MESSAGE");
    event.request_context.message_id = Some(new_id());
    event.body = Some(&text);
    if invoke(gateway, function, &request_id, &event).await.is_none() {
        send_error(gateway, connection, "Internal server error", &request_id).await;
    }
}

/// The route that the message selects, or `$default` if it selects none or is not JSON. A client cannot
/// select `$connect` or `$disconnect`. Where it can select nothing, it is not even parsed.
fn route_key(gateway: &Gateway, text: &str) -> String {
    if gateway.template.websocket.keys().all(|key| key.starts_with('$')) {
        return "$default".to_owned();
    }
    let message: Value = serde_json::from_str(text).unwrap_or_default();
    match message.get(&gateway.template.route_selection).map(as_text) {
        Some(key) if !key.starts_with('$') && gateway.template.websocket.contains_key(&key) => key,
        _ => "$default".to_owned(),
    }
}

/// A selected value as the text that is compared with route keys: `42`, `true`, `[a, b]`.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(as_text).collect::<Vec<_>>().join(", ")),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

async fn send_error(gateway: &Gateway, connection: &Connection, message: &str, request_id: &str) {
    let frame = Bytes::from(error_message(message, connection, request_id));
    // If the socket has closed or its queue is full, the error is lost as a push would be.
    _ = gateway.connections.post(&connection.id, frame).await;
}

/// Sends the frames that are posted, until the client takes too long to accept one.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    frames: &mut mpsc::Receiver<Box<QueuedFrame>>,
    send_timeout: Duration,
    last_message: &LastTime,
) -> End {
    while let Some(frame) = frames.recv().await {
        last_message.is_now();
        let mut next = Some(frame);
        // Those that wait together are flushed together. Each has its own time, as has the flush.
        while let Some(frame) = next {
            if let Err(end) = in_time(send_timeout, sink.feed(text_message(*frame))).await {
                return end;
            }
            next = frames.try_recv().ok();
        }
        if let Err(end) = in_time(send_timeout, sink.flush()).await {
            return end;
        }
    }
    End::Broken
}

/// Waits until the client has accepted something.
async fn in_time(
    send_timeout: Duration,
    sent: impl Future<Output = Result<(), axum::Error>>,
) -> Result<(), End> {
    match timeout(send_timeout, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Broken),
        Err(_) => Err(End::Close(GOING_AWAY)),
    }
}

/// A frame as a message. All sockets that get the frame share its bytes. Invalid UTF-8 is replaced by U+FFFD, as
/// API Gateway does.
fn text_message(frame: QueuedFrame) -> Message {
    let text = Utf8Bytes::try_from(frame.payload.clone());
    Message::Text(text.unwrap_or_else(|_| String::from_utf8_lossy(&frame.payload).into_owned().into()))
}

/// Waits until the socket has been idle for too long or has reached its connection duration. Messages do not wake
/// it: it looks at the time of the last one when the socket would have been idle for too long without it.
async fn expiry(limits: &GatewayLimits, last_message: &LastTime) {
    let end_of_life = Instant::now() + limits.connection_duration;
    loop {
        let end = end_of_life.min(last_message.get() + limits.idle_timeout);
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

/// Pings a client of Socket.IO, as Socket.IO's own server does, and returns when it gives no sign of life any more, unless
/// the gateway does not read because it handles too many of its messages. API Gateway pings nobody.
async fn heartbeat(gateway: &Gateway, connection: &Connection, permits: &Semaphore, last_sign: &LastTime) {
    if connection.protocol != Protocol::SocketIo {
        return std::future::pending().await;
    }
    let Heartbeat { interval, timeout } = gateway.limits.heartbeat;
    loop {
        sleep_until(Instant::now() + interval - timeout).await;
        let pinged = Instant::now();
        // A socket that does not read gives no sign either.
        _ = gateway.connections.post(&connection.id, Bytes::from_static(PING.as_bytes())).await;
        sleep_until(pinged + timeout).await;
        if last_sign.get() < pinged && permits.available_permits() > 0 {
            return;
        }
    }
}

/// Closes a socket: sends the frames that wait, then the close frame, and waits for the client's
/// response. A client that does not read receives none of this, because the whole close has a timeout.
async fn close(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    mut frames: mpsc::Receiver<Box<QueuedFrame>>,
    close_frame: CloseFrame,
) -> CloseFrame {
    frames.close();
    let handshake = async {
        while let Some(frame) = frames.recv().await {
            sink.feed(text_message(*frame)).await?;
        }
        sink.send(Message::Close(Some(close_frame.clone()))).await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<_, axum::Error>(())
    };
    _ = timeout(CLOSE_TIMEOUT, handshake).await;
    close_frame
}
