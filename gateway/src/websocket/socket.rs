//! An open socket, from the handshake to the close.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shared::base::push::Sockets;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use super::event::{ABNORMAL_CLOSURE, error_message, event, invoke};
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
    let last_message = watch::Sender::new(Instant::now());
    // Each of these runs while the others wait.
    let end = tokio::select! {
        end = read(gateway, connection, &mut stream, &last_message) => end,
        end = write(&mut sink, &mut frames, gateway.limits.send_timeout, &last_message) => end,
        frame = close_signal => frame.map_or(End::Broken, End::Close),
        () = expiry(&gateway.limits, last_message.subscribe()) => End::Close(GOING_AWAY),
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

/// Reads messages and handles each in its own task. A gateway that stops reads no more.
async fn read(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    stream: &mut SplitStream<WebSocket>,
    last_message: &watch::Sender<Instant>,
) -> End {
    let permits = Arc::new(Semaphore::new(CONCURRENT_MESSAGES));
    let mut stopping = gateway.stopping.subscribe();
    loop {
        let permit = permits.clone().acquire_owned().await;
        let message = tokio::select! {
            biased;
            () = async { _ = stopping.wait_for(Option::is_some).await } => return std::future::pending().await,
            message = stream.next() => message,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                let under_way = gateway.messages.subscribe();
                // The gateway announces its stop before it looks for messages under way.
                if gateway.is_stopping() {
                    drop(under_way);
                    return std::future::pending().await;
                }
                last_message.send_replace(Instant::now());
                gateway.connections.message_received(&connection.id);
                let (gateway, connection) = (gateway.clone(), connection.clone());
                tokio::spawn(async move {
                    handle_message(&gateway, &connection, text).await;
                    drop((permit, under_way));
                });
            }
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
    let mut event = event(connection, &request_id, &route_key, "MESSAGE");
    event["requestContext"]["messageId"] = json!(new_id());
    event["body"] = json!(text.as_str());
    if invoke(gateway, function, &request_id, &event).await.is_none() {
        send_error(gateway, connection, "Internal server error", &request_id).await;
    }
}

/// The route that the message selects, or `$default` if it selects none or is not JSON. A client cannot
/// select `$connect` or `$disconnect`.
fn route_key(gateway: &Gateway, text: &str) -> String {
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
    frames: &mut mpsc::Receiver<QueuedFrame>,
    send_timeout: Duration,
    last_message: &watch::Sender<Instant>,
) -> End {
    while let Some(frame) = frames.recv().await {
        last_message.send_replace(Instant::now());
        match timeout(send_timeout, sink.send(text_message(&frame))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Broken,
            Err(_) => return End::Close(GOING_AWAY),
        }
    }
    End::Broken
}

/// Replaces invalid UTF-8 by U+FFFD, as API Gateway does.
fn text_message(frame: &QueuedFrame) -> Message {
    Message::Text(String::from_utf8_lossy(&frame.payload).into_owned().into())
}

/// Waits until the socket has been idle for too long or has reached its connection duration.
async fn expiry(limits: &GatewayLimits, mut last_message: watch::Receiver<Instant>) {
    let end_of_life = Instant::now() + limits.connection_duration;
    loop {
        let idle_end = *last_message.borrow_and_update() + limits.idle_timeout;
        tokio::select! {
            () = sleep_until(end_of_life.min(idle_end)) => return,
            _ = last_message.changed() => {}
        }
    }
}

/// Closes a socket: sends the frames that wait, then the close frame, and waits for the client's
/// response. A client that does not read receives none of this, because the whole close has a timeout.
async fn close(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    mut frames: mpsc::Receiver<QueuedFrame>,
    close_frame: CloseFrame,
) -> CloseFrame {
    frames.close();
    let handshake = async {
        while let Some(frame) = frames.recv().await {
            sink.send(text_message(&frame)).await?;
        }
        sink.send(Message::Close(Some(close_frame.clone()))).await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<_, axum::Error>(())
    };
    _ = timeout(CLOSE_TIMEOUT, handshake).await;
    close_frame
}
