//! What the HTTP API and the WebSocket API have in common: parts of their events and of their
//! responses.

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use crate::proxies::Client;

/// Headers that frame a message. The gateway sets its own and ignores those of functions.
pub(crate) const FRAMING_HEADERS: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];

/// Creates an id like API Gateway's: 11 random bytes in base64, which are 15 characters and a `=`.
pub(crate) fn new_id() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 11]>())
}

/// Formats a time as events do: `12/Mar/2020:19:03:58 +0000`.
pub(crate) fn event_time(time: DateTime<Utc>) -> String {
    time.format("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

pub(crate) fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The decoded names and values of a query, in order and with duplicates.
pub(crate) fn query_parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(|text| percent_decoded(&text.replace('+', " ")));
        (name, value)
    })
}

/// The client's headers with those that API Gateway adds: `X-Forwarded-*` and a trace id.
pub(crate) fn forwarded_headers(sent: &HeaderMap, client: Client) -> HeaderMap {
    let text = |name: &str| sent.get(name).and_then(|value| value.to_str().ok());
    let port = text("host").and_then(|host| host.parse::<Authority>().ok()?.port_u16());
    let (proto, usual_port) = if client.is_https { ("https", 443) } else { ("http", 80) };
    let port = port.unwrap_or(usual_port);
    // A client can send any addresses, so only the last one, which the gateway adds, is reliable.
    let claimed = text("x-forwarded-for").map_or_else(String::new, |claimed| format!("{claimed}, "));
    let new_trace = || format!("Root=1-{:08x}-{:024x}", Utc::now().timestamp(), rand::random::<u128>() >> 32);
    let added = [
        ("x-forwarded-for", claimed + &client.address.to_string()),
        ("x-forwarded-port", port.to_string()),
        ("x-forwarded-proto", proto.to_owned()),
        ("x-amzn-trace-id", text("x-amzn-trace-id").map_or_else(new_trace, str::to_owned)),
    ];
    let mut headers = sent.clone();
    for (name, value) in added {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// A header's value in a function's response.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum ResponseHeader {
    Text(String),
    Number(serde_json::Number),
    Bool(bool),
}

impl ResponseHeader {
    /// Returns `None` if the text is not a valid header value.
    pub(crate) fn into_value(self) -> Option<HeaderValue> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Bool(bool) => bool.to_string(),
        };
        HeaderValue::try_from(text).ok()
    }
}

/// Returns `None` if a request cannot be answered with this status. That includes every 1xx.
pub(crate) fn response_status(code: u16) -> Option<StatusCode> {
    StatusCode::from_u16(code).ok().filter(|status| !status.is_informational())
}

/// A response that API Gateway itself gives, without a function.
pub(crate) fn error_response(status: StatusCode, message: &str) -> Response<Body> {
    json_response(status, json!({ "message": message }).to_string())
}

pub(crate) fn json_response(status: StatusCode, body: String) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}
