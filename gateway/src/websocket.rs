//! The WebSocket API: `$connect` decides the handshake, each message is a call of its own, and
//! `$disconnect` tells the end (AWS: "About WebSocket APIs in API Gateway").

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use crate::Gateway;
use crate::connections::{Closing, Details, GOING_AWAY, Orders, Waiting, new_id};
use crate::http::{HeaderText, OF_THE_FRAMING, forwarded, message, query_parameters, status, time};
use crate::limits::{FRAME_BYTES, Limits, MESSAGE_BYTES, MESSAGES_UNDER_WAY};

/// What stays the same over the life of a socket.
#[derive(Debug)]
struct Connection {
    id: String,
    connected_at: DateTime<Utc>,
    domain_name: String,
    source_ip: String,
    user_agent: Option<String>,
}

/// How a socket ended: close code and reason, as `$disconnect` gets them.
type Ending = (u16, String);

/// The client sent a binary frame (API Gateway: "Binary media types for WebSocket APIs").
const UNSUPPORTED_DATA: Closing = (1003, "Unsupported data");
/// A frame or a message over the quota (API Gateway quotas, WebSocket APIs).
const MESSAGE_TOO_LONG: Closing = (1009, "Message too long");
/// The connection broke without a close (RFC 6455, 7.1.5).
const ABNORMAL: u16 = 1006;

/// Answers a handshake with what `$connect` says.
pub(crate) async fn handshake(
    gateway: Arc<Gateway>,
    peer: SocketAddr,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    let text =
        |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    let connection = Arc::new(Connection {
        id: new_id(),
        connected_at: Utc::now(),
        domain_name: text(header::HOST).unwrap_or_default(),
        source_ip: peer.ip().to_string(),
        user_agent: text(header::USER_AGENT),
    });
    let request_id = new_id();
    // In a task of its own, so that a client that leaves meanwhile is still disconnected.
    let (answering, answered) = oneshot::channel();
    tokio::spawn({
        let (gateway, connection, request_id) = (gateway.clone(), connection.clone(), request_id.clone());
        async move {
            let answer = connect(&gateway, &connection, &request_id, &parts, peer).await;
            let opens = answer.as_ref().is_some_and(Answer::opens);
            if answering.send(answer).is_err() && opens {
                disconnect(&gateway, &connection, (ABNORMAL, String::new())).await;
            }
        }
    });
    let Some(answer) = answered.await.ok().flatten() else {
        return refusal(StatusCode::BAD_GATEWAY, &connection, &request_id);
    };
    if !answer.opens() {
        return answer.refusal(&connection, &request_id);
    }

    // Registered before the upgrade: what is posted from here on waits for the socket.
    let details = Details {
        connected_at: connection.connected_at,
        source_ip: connection.source_ip.clone(),
        user_agent: connection.user_agent.clone(),
        last_active_at: connection.connected_at,
    };
    let orders = gateway.connections.add(&connection.id, details);
    let protocol = answer.subprotocol();
    let (failed_gateway, failed_connection) = (gateway.clone(), connection.clone());
    let mut response = upgrade
        .max_frame_size(FRAME_BYTES)
        .max_message_size(MESSAGE_BYTES)
        .on_failed_upgrade(move |_| {
            tokio::spawn(async move {
                disconnect(&failed_gateway, &failed_connection, (ABNORMAL, String::new())).await;
            });
        })
        .on_upgrade(move |socket| async move {
            let ending = run(&gateway, &connection, socket, orders).await;
            disconnect(&gateway, &connection, ending).await;
        });
    // A subprotocol is echoed only if the function says so.
    if let Some(protocol) = protocol {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// What `$connect` answered.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, HeaderText>,
    #[serde(default)]
    multi_value_headers: BTreeMap<String, Vec<HeaderText>>,
    body: Option<String>,
}

impl Answer {
    fn opens(&self) -> bool {
        (200..300).contains(&self.status_code)
    }

    /// Every header that can be one.
    fn into_headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let multiple = self.multi_value_headers.into_iter();
        let multiple =
            multiple.flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
        let all = self.headers.into_iter().chain(multiple);
        all.filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value.into_value()?)))
    }

    fn subprotocol(self) -> Option<HeaderValue> {
        let protocol = self.into_headers().find(|(name, _)| *name == header::SEC_WEBSOCKET_PROTOCOL);
        protocol.map(|(_, value)| value)
    }

    fn refusal(mut self, connection: &Connection, request_id: &str) -> Response<Body> {
        let Some(status) = status(self.status_code) else {
            return refusal(StatusCode::BAD_GATEWAY, connection, request_id);
        };
        let Some(body) = self.body.take() else {
            return refusal(status, connection, request_id);
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = self.into_headers().filter(|(name, _)| !OF_THE_FRAMING.contains(name));
        response.headers_mut().extend(headers);
        response
    }
}

fn refusal(status: StatusCode, connection: &Connection, request_id: &str) -> Response<Body> {
    let mut response = message(status, "");
    let text = status.canonical_reason().unwrap_or_default();
    *response.body_mut() = Body::from(gateway_message(text, &connection.id, request_id));
    response
}

/// The exact bytes of a message of API Gateway itself: a space after the first colon only.
fn gateway_message(text: &str, connection_id: &str, request_id: &str) -> String {
    format!(r#"{{"message": "{text}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}"#)
}

/// Asks `$connect`; `None` if it gives no answer or none that counts.
async fn connect(
    gateway: &Gateway,
    connection: &Connection,
    request_id: &str,
    parts: &Parts,
    peer: SocketAddr,
) -> Option<Answer> {
    let Some(function) = gateway.template.websocket.get("$connect") else {
        return Some(Answer { status_code: 200, ..Answer::default() });
    };
    let mut event = event(connection, request_id, "$connect", "CONNECT");
    let client_headers = forwarded(&parts.headers, peer);
    let headers = client_headers
        .iter()
        .filter(|(name, _)| **name != header::CONNECTION && **name != header::UPGRADE)
        .map(|(name, value)| (usual_case(name), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    (event["headers"], event["multiValueHeaders"]) = last_and_all(headers);
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        (event["queryStringParameters"], event["multiValueQueryStringParameters"]) =
            last_and_all(query_parameters(query));
    }
    serde_json::from_str(invoke(gateway, function, request_id, &event).await?.get()).ok()
}

/// The last value of each name, and all of them.
fn last_and_all(pairs: impl Iterator<Item = (String, String)>) -> (Value, Value) {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name).or_default().push(value);
    }
    let last: BTreeMap<_, _> = all.iter().map(|(name, values)| (name, values.last())).collect();
    (json!(last), json!(all))
}

async fn disconnect(gateway: &Gateway, connection: &Connection, (code, reason): Ending) {
    if let Some(function) = gateway.template.websocket.get("$disconnect") {
        let request_id = new_id();
        let mut event = event(connection, &request_id, "$disconnect", "DISCONNECT");
        event["requestContext"]["disconnectStatusCode"] = json!(code);
        event["requestContext"]["disconnectReason"] = json!(reason);
        // Not the client's headers: these four, whoever connected.
        let host = connection.domain_name.as_str();
        event["headers"] = json!({"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""});
        event["multiValueHeaders"] =
            json!({"Host": [host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]});
        invoke(gateway, function, &request_id, &event).await;
    }
    gateway.connections.remove(&connection.id);
}

async fn invoke(gateway: &Gateway, function: &str, request_id: &str, event: &Value) -> Option<Box<RawValue>> {
    let event = to_raw_value(event).ok()?;
    gateway.call(gateway.limits.integration, function, request_id, event).await.ok()
}

/// What every event of a connection has.
fn event(connection: &Connection, request_id: &str, route_key: &str, event_type: &str) -> Value {
    let now = Utc::now();
    let mut identity = json!({ "sourceIp": connection.source_ip });
    if let Some(user_agent) = &connection.user_agent {
        identity["userAgent"] = json!(user_agent);
    }
    json!({
        "requestContext": {
            "routeKey": route_key,
            "eventType": event_type,
            "extendedRequestId": request_id,
            "requestTime": time(now),
            "messageDirection": "IN",
            "stage": "local",
            "connectedAt": connection.connected_at.timestamp_millis(),
            "requestTimeEpoch": now.timestamp_millis(),
            "identity": identity,
            "requestId": request_id,
            "domainName": connection.domain_name,
            "connectionId": connection.id,
            "apiId": "local",
        },
        "isBase64Encoded": false,
    })
}

/// A header's name as most clients write it: the HTTP server has not kept the client's own case.
fn usual_case(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        word => word.get(..1).unwrap_or_default().to_ascii_uppercase() + word.get(1..).unwrap_or_default(),
    });
    words.collect::<Vec<_>>().join("-")
}

/// Why a socket is served no longer.
enum End {
    /// It is to be closed, by the gateway.
    Close(Closing),
    /// The client closed it.
    ByClient(Option<CloseFrame>),
    /// The connection broke.
    Broken,
}

/// Serves an open socket until it ends. Reading, writing and the clock wait for none of the others.
async fn run(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    socket: WebSocket,
    Orders { mut frames, close: told }: Orders,
) -> Ending {
    let (mut sink, mut stream) = socket.split();
    let last_message = watch::Sender::new(Instant::now());
    let end = tokio::select! {
        end = read(gateway, connection, &mut stream, &last_message) => end,
        end = write(&mut sink, &mut frames, gateway.limits.deaf, &last_message) => end,
        told = told => told.map_or(End::Broken, End::Close),
        () = time_is_up(&gateway.limits, last_message.subscribe()) => End::Close(GOING_AWAY),
    };
    match end {
        End::Close(closing) => close(sink, stream, frames, closing).await,
        End::ByClient(frame) => closed_by_client(sink, frame).await,
        End::Broken => (ABNORMAL, String::new()),
    }
}

/// Gives each message to its function.
async fn read(
    gateway: &Arc<Gateway>,
    connection: &Arc<Connection>,
    stream: &mut SplitStream<WebSocket>,
    last_message: &watch::Sender<Instant>,
) -> End {
    let under_way = Arc::new(Semaphore::new(MESSAGES_UNDER_WAY));
    loop {
        // Without a permit nothing is read.
        let permit = under_way.clone().acquire_owned().await;
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                last_message.send_replace(Instant::now());
                gateway.connections.heard(&connection.id);
                let (gateway, connection) = (gateway.clone(), connection.clone());
                tokio::spawn(async move {
                    deliver(&gateway, &connection, text).await;
                    drop(permit);
                });
            }
            Some(Ok(Message::Binary(_))) => return End::Close(UNSUPPORTED_DATA),
            // Protocol pings are answered by the server and do not count as messages.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => return End::ByClient(frame),
            Some(Err(error)) if is_too_large(&error) => return End::Close(MESSAGE_TOO_LONG),
            Some(Err(_)) | None => return End::Broken,
        }
    }
}

/// Sends each frame that is posted, until the client takes one no more.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    frames: &mut mpsc::Receiver<Waiting>,
    deaf: Duration,
    last_message: &watch::Sender<Instant>,
) -> End {
    while let Some(waiting) = frames.recv().await {
        last_message.send_replace(Instant::now());
        match timeout(deaf, sink.send(text(&waiting))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Broken,
            Err(_) => return End::Close(GOING_AWAY),
        }
    }
    End::Broken
}

/// Invalid UTF-8 becomes U+FFFD, as in API Gateway.
fn text(waiting: &Waiting) -> Message {
    Message::Text(String::from_utf8_lossy(&waiting.frame).into_owned().into())
}

/// Waits until a socket has lived its time, or idled.
async fn time_is_up(limits: &Limits, mut last_message: watch::Receiver<Instant>) {
    let end_of_life = Instant::now() + limits.life;
    loop {
        let end = end_of_life.min(*last_message.borrow_and_update() + limits.idle);
        tokio::select! {
            () = sleep_until(end) => return,
            _ = last_message.changed() => {}
        }
    }
}

/// Gives a message to the function of its route, and tells the client if that fails. What a
/// function answers is dropped: it pushes what it has to say.
async fn deliver(gateway: &Gateway, connection: &Connection, text: Utf8Bytes) {
    let request_id = new_id();
    let route_key = route_key(gateway, &text);
    let Some(function) = gateway.template.websocket.get(&route_key) else {
        return tell(gateway, connection, "Forbidden", &request_id).await;
    };
    let mut event = event(connection, &request_id, &route_key, "MESSAGE");
    event["requestContext"]["messageId"] = json!(new_id());
    event["body"] = json!(text.as_str());
    if invoke(gateway, function, &request_id, &event).await.is_none() {
        tell(gateway, connection, "Internal server error", &request_id).await;
    }
}

/// The route that the frame's selected value names, or `$default`, also for what is no JSON. A
/// client cannot choose `$connect` or `$disconnect`.
fn route_key(gateway: &Gateway, text: &str) -> String {
    let frame: Value = serde_json::from_str(text).unwrap_or_default();
    match frame.get(&gateway.template.route_selection).map(as_text) {
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

async fn tell(gateway: &Gateway, connection: &Connection, text: &str, request_id: &str) {
    use shared::push::Sockets;
    let frame = Bytes::from(gateway_message(text, &connection.id, request_id));
    // A socket that has closed meanwhile is told nothing.
    _ = gateway.connections.post(&connection.id, frame).await;
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}

/// Closes a socket: sends what was posted before, and waits for the client's own close, so that the code
/// arrives. All of it takes a moment and no longer, so a client that does not read hears nothing of it.
async fn close(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    mut frames: mpsc::Receiver<Waiting>,
    (code, reason): Closing,
) -> Ending {
    frames.close();
    let farewell = async {
        while let Some(waiting) = frames.recv().await {
            sink.send(text(&waiting)).await?;
        }
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        sink.send(Message::Close(Some(frame))).await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<_, axum::Error>(())
    };
    _ = timeout(CLOSING, farewell).await;
    (code, reason.to_owned())
}

/// How long a client has to take and to answer a close.
const CLOSING: Duration = Duration::from_secs(1);

async fn closed_by_client(mut sink: SplitSink<WebSocket, Message>, frame: Option<CloseFrame>) -> Ending {
    // Flushing sends the close that answers the client's.
    _ = timeout(CLOSING, sink.flush()).await;
    match frame {
        Some(frame) => (frame.code, frame.reason.as_str().to_owned()),
        // Captured from AWS; see `docs/gateway.md`.
        None => (1005, "Client-side close frame status not set".to_owned()),
    }
}
