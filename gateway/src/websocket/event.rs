//! Events of the WebSocket API.

use axum::extract::ws::{CloseFrame, Utf8Bytes};
use chrono::Utc;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::connections::Connection;
use crate::gateway::Gateway;
use crate::integration::{event_time, new_id};

/// The close that `$disconnect` is given when the connection broke without one (RFC 6455, 7.1.5).
pub(super) const ABNORMAL_CLOSURE: CloseFrame = CloseFrame { code: 1006, reason: Utf8Bytes::from_static("") };

/// The fields that every event of a connection has.
pub(super) fn event(connection: &Connection, request_id: &str, route_key: &str, event_type: &str) -> Value {
    let now = Utc::now();
    json!({
        "requestContext": {
            "routeKey": route_key,
            "eventType": event_type,
            "extendedRequestId": request_id,
            "requestTime": event_time(now),
            "messageDirection": "IN",
            "stage": "local",
            "connectedAt": connection.connected_at.timestamp_millis(),
            "requestTimeEpoch": now.timestamp_millis(),
            "identity": connection.identity(),
            "requestId": request_id,
            "domainName": connection.domain_name,
            "connectionId": connection.id,
            "apiId": "local",
        },
        "isBase64Encoded": false,
    })
}

/// Invokes a function. Returns `None` if it fails, which the gateway has then logged.
pub(super) async fn invoke(
    gateway: &Gateway,
    function: &str,
    request_id: &str,
    event: &Value,
) -> Option<Box<RawValue>> {
    let event = to_raw_value(event).ok()?;
    gateway.invoke(function, gateway.limits.integration_timeout, request_id, event).await.ok()
}

/// Invokes `$disconnect`, if there is one, with the code and reason of the close. Then removes the
/// connection.
pub(super) async fn disconnect(gateway: &Gateway, connection: &Connection, close: CloseFrame) {
    if let Some(function) = gateway.template.websocket.get("$disconnect") {
        let request_id = new_id();
        let mut event = event(connection, &request_id, "$disconnect", "DISCONNECT");
        event["requestContext"]["disconnectStatusCode"] = json!(close.code);
        event["requestContext"]["disconnectReason"] = json!(close.reason.as_str());
        // AWS sends these four headers instead of the client's.
        let host = connection.domain_name.as_str();
        event["headers"] = json!({"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""});
        event["multiValueHeaders"] =
            json!({"Host": [host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]});
        invoke(gateway, function, &request_id, &event).await;
    }
    gateway.connections.remove(&connection.id);
}

/// An error as API Gateway writes it: a space follows only the first colon.
pub(super) fn error_message(message: &str, connection: &Connection, request_id: &str) -> String {
    let connection_id = &connection.id;
    format!(r#"{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}"#)
}
