//! What the gateway does for clients of Socket.IO beyond API Gateway: the path `/socket.io/`, and the refusals of an
//! Engine.IO server (<https://socket.io/docs/v4/engine-io-protocol/>; the codes are those of the package `engine.io`).

use axum::body::Body;
use axum::http::{Response, StatusCode, Uri};
use serde_json::json;
use shared::base::socket::Protocol;

use crate::integration::{json_response, query_parameters};

/// Whether a path is Socket.IO's.
pub(crate) fn is_path(path: &str) -> bool {
    matches!(path, "/socket.io/" | "/socket.io")
}

/// What the client of a handshake speaks.
pub(crate) fn protocol(uri: &Uri) -> Protocol {
    match parameter(uri, "EIO").as_deref() {
        Some("4") => Protocol::SocketIo,
        _ => Protocol::Frames,
    }
}

/// Refuses what an Engine.IO server without polling refuses at Socket.IO's path.
pub(crate) fn refusal(uri: &Uri, is_upgrade: bool) -> Option<Response<Body>> {
    if !is_path(uri.path()) {
        return None;
    }
    let (code, message) = match parameter(uri, "transport").as_deref() {
        Some("websocket") if parameter(uri, "EIO").as_deref() != Some("4") => {
            (5, "Unsupported protocol version")
        }
        Some("websocket") if parameter(uri, "sid").is_some() => (1, "Session ID unknown"),
        Some("websocket") if is_upgrade => return None,
        Some("websocket") => (3, "Bad request"),
        _ => (0, "Transport unknown"),
    };
    Some(json_response(StatusCode::BAD_REQUEST, json!({"code": code, "message": message}).to_string()))
}

/// The last value of a parameter in the query, as functions see it.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let values = query_parameters(uri.query()?).filter(|(key, _)| key == name);
    values.last().map(|(_, value)| value)
}
