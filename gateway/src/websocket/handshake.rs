//! The handshake: `$connect` accepts or refuses the client.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::WebSocketUpgrade;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use axum::response::IntoResponse;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::event::{ABNORMAL_CLOSURE, Event, RequestParts, disconnect, error_message, invoke};
use super::socket;
use crate::connections::Connection;
use crate::gateway::Gateway;
use crate::integration::{
    FRAMING_HEADERS, ResponseHeader, forwarded_headers, json_response, new_id, query_parameters,
    response_status,
};
use crate::limits::{FRAME_BYTES, MESSAGE_BYTES};
use crate::proxies::Client;
use crate::socket_io;

/// What a socket reads at once. Every open socket has a buffer of this size, and most frames of a chat are smaller.
const READ_BUFFER_BYTES: usize = 1024;
/// Frames that wait together are written to the system in pieces of about this size. Only a socket that has sent
/// something has such a buffer.
const WRITE_BUFFER_BYTES: usize = 4096;

/// Responds to a handshake as `$connect` decides.
pub(crate) async fn handshake(
    gateway: Arc<Gateway>,
    client: Client,
    parts: Parts,
    upgrade: WebSocketUpgrade,
) -> Response<Body> {
    // A client that leaves cancels this future, so the functions run in a separate task. If `$connect` accepts
    // the client nevertheless, the upgrade fails, and `$disconnect` runs.
    let response = tokio::spawn(async move {
        let connection = Arc::new(new_connection(&parts, client));
        let request_id = new_id();
        gateway.connections.announce(&connection.id);
        match invoke_connect(&gateway, &connection, &request_id, &parts, client).await {
            Some(response) if response.accepts() => open(gateway, connection, upgrade, response),
            response => {
                gateway.connections.remove(&connection.id);
                match response {
                    Some(response) => response.into_refusal(&connection, &request_id),
                    None => refusal(StatusCode::BAD_GATEWAY, &connection, &request_id),
                }
            }
        }
    });
    // `invoke` catches the panics of functions.
    response.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn new_connection(parts: &Parts, client: Client) -> Connection {
    let text =
        |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    Connection {
        id: new_id(),
        connected_at: Utc::now(),
        domain_name: text(header::HOST).unwrap_or_default(),
        source_ip: client.address.to_string(),
        user_agent: text(header::USER_AGENT),
        protocol: socket_io::protocol(&parts.uri),
    }
}

/// Invokes `$connect`. Returns `None` if it fails or its response is malformed.
async fn invoke_connect(
    gateway: &Gateway,
    connection: &Connection,
    request_id: &str,
    parts: &Parts,
    client: Client,
) -> Option<ConnectResponse> {
    let Some(function) = gateway.template.websocket.get("$connect") else {
        return Some(ConnectResponse { status_code: 200, ..ConnectResponse::default() });
    };
    let mut event = Event::new(connection, request_id, "$connect", "CONNECT");
    let headers = forwarded_headers(&parts.headers, client);
    let headers = headers
        .iter()
        .filter(|(name, _)| **name != header::CONNECTION && **name != header::UPGRADE)
        .map(|(name, value)| (title_case(name), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let (headers, multi_value_headers) = last_and_all_values(headers);
    let query = parts.uri.query().filter(|query| !query.is_empty());
    let (query_string_parameters, multi_value_query_string_parameters) =
        query.map(|query| last_and_all_values(query_parameters(query))).unzip();
    event.request = Some(RequestParts {
        headers,
        multi_value_headers,
        query_string_parameters,
        multi_value_query_string_parameters,
    });
    let response = invoke(gateway, function, request_id, &event).await?;
    serde_json::from_str(response.get()).ok()
}

/// Writes a header's name as most clients do, since the HTTP server does not keep the client's own case.
fn title_case(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        word => word.get(..1).unwrap_or_default().to_ascii_uppercase() + word.get(1..).unwrap_or_default(),
    });
    words.collect::<Vec<_>>().join("-")
}

/// Two objects: the last value of each name, and all its values.
fn last_and_all_values(pairs: impl Iterator<Item = (String, String)>) -> (Value, Value) {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name).or_default().push(value);
    }
    let last: BTreeMap<_, _> = all.iter().map(|(name, values)| (name, values.last())).collect();
    (json!(last), json!(all))
}

/// What `$connect` returned.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectResponse {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, ResponseHeader>,
    #[serde(default)]
    multi_value_headers: BTreeMap<String, Vec<ResponseHeader>>,
    body: Option<String>,
}

impl ConnectResponse {
    /// Whether the client may connect.
    fn accepts(&self) -> bool {
        (200..300).contains(&self.status_code)
    }

    /// The headers of both fields, without those whose name or value is invalid.
    fn into_headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let multiple = self.multi_value_headers.into_iter();
        let multiple =
            multiple.flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
        let all = self.headers.into_iter().chain(multiple);
        all.filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value.into_value()?)))
    }

    fn into_subprotocol(self) -> Option<HeaderValue> {
        let mut headers = self.into_headers();
        headers.find(|(name, _)| *name == header::SEC_WEBSOCKET_PROTOCOL).map(|(_, value)| value)
    }

    fn into_refusal(mut self, connection: &Connection, request_id: &str) -> Response<Body> {
        let Some(status) = response_status(self.status_code) else {
            return refusal(StatusCode::BAD_GATEWAY, connection, request_id);
        };
        let Some(body) = self.body.take() else {
            return refusal(status, connection, request_id);
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = self.into_headers().filter(|(name, _)| !FRAMING_HEADERS.contains(name));
        response.headers_mut().extend(headers);
        response
    }
}

/// A refusal for which `$connect` has given no body.
fn refusal(status: StatusCode, connection: &Connection, request_id: &str) -> Response<Body> {
    let message = status.canonical_reason().unwrap_or_default();
    json_response(status, error_message(message, connection, request_id))
}

/// Accepts the handshake and serves the socket in the background.
fn open(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    upgrade: WebSocketUpgrade,
    connect_response: ConnectResponse,
) -> Response<Body> {
    // Opened before the upgrade: frames that are posted from now on wait for the socket.
    let queue = gateway.connections.open(connection.clone());
    let (failed_gateway, failed_connection) = (gateway.clone(), connection.clone());
    let mut response = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_message_size(MESSAGE_BYTES)
        .on_failed_upgrade(move |_| {
            tokio::spawn(async move {
                disconnect(&failed_gateway, &failed_connection, ABNORMAL_CLOSURE).await;
            });
        })
        .on_upgrade(move |socket| async move {
            let close = socket::serve(&gateway, &connection, socket, queue).await;
            disconnect(&gateway, &connection, close).await;
        });
    // The gateway itself negotiates no subprotocol. `$connect` may choose one.
    if let Some(protocol) = connect_response.into_subprotocol() {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}
