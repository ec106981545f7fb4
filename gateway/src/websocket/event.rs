//! Events of the WebSocket API.

use axum::extract::ws::{CloseFrame, Utf8Bytes};
use chrono::Utc;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::connections::{Connection, Identity};
use crate::gateway::Gateway;
use crate::integration::{event_time, new_id};

/// The close that `$disconnect` is given when the connection broke without one (RFC 6455, 7.1.5).
pub(super) const ABNORMAL_CLOSURE: CloseFrame = CloseFrame { code: 1006, reason: Utf8Bytes::from_static("") };

/// An event of a connection, with its fields in AWS's order. Those that only some events have are optional.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event<'a> {
    pub(super) request_context: RequestContext<'a>,
    is_base64_encoded: bool,
    #[serde(flatten)]
    pub(super) request: Option<RequestParts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<&'a str>,
}

/// The headers and the query of a handshake, each with single and with multiple values.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestParts {
    pub(super) headers: Value,
    pub(super) multi_value_headers: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query_string_parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) multi_value_query_string_parameters: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestContext<'a> {
    route_key: &'a str,
    event_type: &'static str,
    extended_request_id: &'a str,
    request_time: String,
    message_direction: &'static str,
    stage: &'static str,
    connected_at: i64,
    request_time_epoch: i64,
    identity: Identity<'a>,
    request_id: &'a str,
    domain_name: &'a str,
    connection_id: &'a str,
    api_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// Makes an event with the fields that every event of a connection has.
    pub(super) fn new(
        connection: &'a Connection,
        request_id: &'a str,
        route_key: &'a str,
        event_type: &'static str,
    ) -> Self {
        let now = Utc::now();
        let request_context = RequestContext {
            route_key,
            event_type,
            extended_request_id: request_id,
            request_time: event_time(now),
            message_direction: "IN",
            stage: "local",
            connected_at: connection.connected_at.timestamp_millis(),
            request_time_epoch: now.timestamp_millis(),
            identity: connection.identity(),
            request_id,
            domain_name: &connection.domain_name,
            connection_id: &connection.id,
            api_id: "local",
            message_id: None,
            disconnect_status_code: None,
            disconnect_reason: None,
        };
        Self { request_context, is_base64_encoded: false, request: None, body: None }
    }
}

/// Invokes a function. Returns `None` if it fails, which the gateway has then logged.
pub(super) async fn invoke(
    gateway: &Gateway,
    function: &str,
    request_id: &str,
    event: &Event<'_>,
) -> Option<Box<RawValue>> {
    let event = to_raw_value(event).ok()?;
    gateway.invoke_measured(function, gateway.limits.integration_timeout, request_id, event).await.ok()
}

/// Invokes `$disconnect`, if there is one, with the code and reason of the close. Then removes the
/// connection.
pub(super) async fn disconnect(gateway: &Gateway, connection: &Connection, close: CloseFrame) {
    if let Some(function) = gateway.template.websocket.get("$disconnect") {
        let _permit = gateway.disconnects.acquire().await;
        let request_id = new_id();
        let mut event = Event::new(connection, &request_id, "$disconnect", "DISCONNECT");
        event.request_context.disconnect_status_code = Some(close.code);
        event.request_context.disconnect_reason = Some(&close.reason);
        // AWS sends these four headers instead of the client's.
        let host = connection.domain_name.as_str();
        event.request = Some(RequestParts {
            headers: json!({"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}),
            multi_value_headers: json!(
                {"Host": [host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]}
            ),
            query_string_parameters: None,
            multi_value_query_string_parameters: None,
        });
        invoke(gateway, function, &request_id, &event).await;
    }
    gateway.connections.remove(&connection.id);
}

/// An error as API Gateway writes it: a space follows only the first colon.
pub(super) fn error_message(message: &str, connection: &Connection, request_id: &str) -> String {
    let connection_id = &connection.id;
    format!(r#"{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}"#)
}
