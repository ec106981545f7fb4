//! The HTTP API: a request becomes an event of payload format 2.0, and its answer a response
//! (AWS: "Create AWS Lambda proxy integrations for HTTP APIs").

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::connections::new_id;
use crate::invoke::Failure;
use crate::limits::{BODY_BYTES, EVENT_BYTES};
use crate::routes::RouteMatch;
use crate::{Gateway, cors};

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Answers one request.
pub(crate) async fn answer(gateway: &Gateway, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some(cors) = &gateway.template.cors else {
        return routed(gateway, peer, &parts, body).await;
    };
    if let Some(preflight) = cors::preflight(cors, &parts) {
        return preflight;
    }
    let mut response = routed(gateway, peer, &parts, body).await;
    cors::set(cors, parts.headers.get(header::ORIGIN), &mut response);
    response
}

/// Answers with what the function of the request's route says.
async fn routed(gateway: &Gateway, peer: SocketAddr, parts: &Parts, body: Body) -> Response<Body> {
    let Some(found) = gateway.routes.find(parts.method.as_str(), parts.uri.path()) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    let too_large = || message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        return too_large();
    };
    let request_id = new_id();
    let event = event(parts, peer, &request_id, &found, &body);
    let Ok(event) = to_raw_value(&event) else {
        return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    };
    if event.get().len() > EVENT_BYTES {
        return too_large();
    }
    match gateway.call(gateway.limits.http_integration, &found.route.function, &request_id, event).await {
        Ok(answer) => {
            let invalid = || message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
            response(&answer).unwrap_or_else(invalid)
        }
        Err(Failure::Error) => message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        Err(Failure::Timeout) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

fn event(
    parts: &Parts,
    peer: SocketAddr,
    request_id: &str,
    RouteMatch { route, path_parameters }: &RouteMatch<'_>,
    body: &Bytes,
) -> Value {
    let route_key = format!("{} {}", route.method, route.path);
    let now = Utc::now();
    let query = parts.uri.query().unwrap_or_default();
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // Every escape is decoded but %25.
    let raw_path = parts.uri.path().split("%25").map(decoded).collect::<Vec<_>>().join("%25");
    let (headers, cookies) = headers(&forwarded(&parts.headers, peer));
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": raw_path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": raw_path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": peer.ip().to_string(),
                "userAgent": headers.get("user-agent"),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": time(now),
            "timeEpoch": now.timestamp_millis(),
        },
        "isBase64Encoded": false,
    });
    // What there is none of is absent, not null.
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(joined(query_parameters(query)));
    }
    if !path_parameters.is_empty() {
        event["pathParameters"] = json!(path_parameters);
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(&parts.headers) => event["body"] = json!(text),
            _ => {
                event["body"] = json!(BASE64_STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// Names in lower case, values of one name joined by a comma; cookies apart.
fn headers(headers: &HeaderMap) -> (BTreeMap<String, String>, Vec<String>) {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let cookies = headers.get_all(header::COOKIE).iter().map(text);
    let cookies = cookies.flat_map(|cookies| cookies.split("; ").map(str::to_owned).collect::<Vec<_>>());
    let others = headers.iter().filter(|(name, _)| *name != header::COOKIE);
    (joined(others.map(|(name, value)| (name.as_str().to_owned(), text(value)))), cookies.collect())
}

/// The client's headers, and those that API Gateway adds: where the request comes from, and a trace.
pub(crate) fn forwarded(client: &HeaderMap, peer: SocketAddr) -> HeaderMap {
    let text = |name: &str| client.get(name).and_then(|value| value.to_str().ok());
    let port = text("host").and_then(|host| host.parse::<Authority>().ok()?.port_u16()).unwrap_or(80);
    // Whoever sends this header claims where it comes from; the last address is what was seen.
    let way = text("x-forwarded-for").map_or_else(String::new, |claimed| format!("{claimed}, "));
    let trace = || format!("Root=1-{:08x}-{:024x}", Utc::now().timestamp(), rand::random::<u128>() >> 32);
    let added = [
        ("x-forwarded-for", way + &peer.ip().to_string()),
        ("x-forwarded-port", port.to_string()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-amzn-trace-id", text("x-amzn-trace-id").map_or_else(trace, str::to_owned)),
    ];
    let mut headers = client.clone();
    for (name, value) in added {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Names and values of a query, decoded, as often as they are there.
pub(crate) fn query_parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(|text| decoded(&text.replace('+', " ")));
        (name, value)
    })
}

/// Values of one name joined by a comma.
fn joined(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        match joined.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().push(',');
                entry.get_mut().push_str(&value);
            }
        }
    }
    joined
}

/// Only these bodies arrive as text; every other one, and one without a type, in base64.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || matches!(media_type.as_str(), "application/json" | "application/xml" | "application/javascript")
}

/// `12/Mar/2020:19:03:58 +0000`.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

/// A function's answer of payload format 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, HeaderText>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// The value of a header in a function's answer.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum HeaderText {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
}

impl HeaderText {
    pub(crate) fn into_value(self) -> Option<HeaderValue> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        };
        HeaderValue::try_from(text).ok()
    }
}

/// What a body without a type is.
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Headers that say how a response is framed: the gateway's own, whatever a function answers.
pub(crate) const OF_THE_FRAMING: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];

/// The response that a function's answer means, if it means one.
fn response(answer: &RawValue) -> Option<Response<Body>> {
    let value: Value = serde_json::from_str(answer.get()).ok()?;
    if value.get("statusCode").is_none() {
        // Format 2.0 infers: the answer is the body.
        let body = value.as_str().unwrap_or(answer.get()).to_owned();
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        return Some(response);
    }
    let answer: Answer = serde_json::from_value(value).ok()?;
    let status = status(answer.status_code)?;
    let has_body = answer.body.as_ref().is_some_and(|body| !body.is_empty());
    let body = match (answer.body, answer.is_base64_encoded) {
        (None, _) => Body::empty(),
        (Some(text), false) => Body::from(text),
        (Some(text), true) => Body::from(BASE64_STANDARD.decode(text).ok()?),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for cookie in answer.cookies {
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    for (name, value) in answer.headers {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value.into_value())
            && !OF_THE_FRAMING.contains(&name)
        {
            headers.append(name, value);
        }
    }
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, PLAIN_TEXT);
    }
    Some(response)
}

/// A status that can be the answer to a request: 1xx are none.
pub(crate) fn status(code: u16) -> Option<StatusCode> {
    StatusCode::from_u16(code).ok().filter(|status| !status.is_informational())
}

/// An answer of API Gateway itself.
pub(crate) fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}
