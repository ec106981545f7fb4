//! The HTTP API: turns requests into events of payload format 2.0, and the responses of functions into
//! HTTP responses (AWS: "Create AWS Lambda proxy integrations for HTTP APIs").

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::cors;
use crate::gateway::Gateway;
use crate::integration::{
    FRAMING_HEADERS, ResponseHeader, error_response, event_time, forwarded_headers, json_response, new_id,
    percent_decoded, query_parameters, response_status,
};
use crate::invoke::Failure;
use crate::limits::EVENT_BYTES;
use crate::meters::Outcome;
use crate::proxies::Client;
use crate::routes::RouteMatch;
use crate::socket_io;

/// Handles a request to the HTTP API.
pub(crate) async fn handle(gateway: &Gateway, client: Client, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some(cors) = &gateway.template.cors else {
        return invoke_route(gateway, client, &parts, body).await;
    };
    if let Some(response) = cors::preflight_response(cors, &parts) {
        return response;
    }
    let mut response = invoke_route(gateway, client, &parts, body).await;
    cors::set_headers(cors, parts.headers.get(header::ORIGIN), &mut response);
    response
}

/// Invokes the function of the request's route.
async fn invoke_route(gateway: &Gateway, client: Client, parts: &Parts, body: Body) -> Response<Body> {
    if let Some(refusal) = socket_io::refusal(&parts.uri, false) {
        return refusal;
    }
    let Some(matched) = gateway.routes.find(parts.method.as_str(), parts.uri.path()) else {
        let page = gateway.page.as_ref();
        let file = page.and_then(|page| page.respond(&parts.method, parts.uri.path(), &parts.headers));
        return file.unwrap_or_else(|| error_response(StatusCode::NOT_FOUND, "Not Found"));
    };
    let internal_error = || error_response(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    let time = gateway.limits.body_timeout;
    let (body, reading) = match gateway.bodies.read(&parts.headers, body, EVENT_BYTES, time) {
        Ok(body) => body,
        Err(status) => return refusal(status),
    };
    let Ok(body) = to_bytes(body, EVENT_BYTES).await else {
        // Otherwise the client has left.
        return refusal(reading.failure().unwrap_or(StatusCode::BAD_REQUEST));
    };
    let request_id = new_id();
    let Ok(event) = to_raw_value(&request_event(parts, client, &request_id, &matched, &body)) else {
        return internal_error();
    };
    if event.get().len() > EVENT_BYTES {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let (timeout, start) = (gateway.limits.http_integration_timeout, Instant::now());
    let function = &matched.route.function;
    let (response, is_late) = match gateway.invoke(function, timeout, &request_id, event).await {
        Ok(response) => (http_response(&response).unwrap_or_else(internal_error), false),
        Err(Failure::Error) => (internal_error(), false),
        Err(Failure::Timeout) => {
            (error_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"), true)
        }
    };
    let outcome = match response.status() {
        _ if is_late => Outcome::Timeout,
        status if status.is_server_error() => Outcome::Failed,
        status if status.is_client_error() => Outcome::Refused,
        _ => Outcome::Ok,
    };
    gateway.meters.ended(function, outcome, start.elapsed());
    response
}

/// The response to a request whose body was refused.
fn refusal(status: StatusCode) -> Response<Body> {
    let message = match status {
        // API Gateway's name for it.
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        status => status.canonical_reason().unwrap_or_default(),
    };
    let mut response = error_response(status, message);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn request_event(
    parts: &Parts,
    client: Client,
    request_id: &str,
    RouteMatch { route, path_parameters }: &RouteMatch<'_>,
    body: &Bytes,
) -> Value {
    let now = Utc::now();
    let route_key = format!("{} {}", route.method, route.path);
    let query = parts.uri.query().unwrap_or_default();
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // Every escape is decoded except %25.
    let raw_path = parts.uri.path().split("%25").map(percent_decoded).collect::<Vec<_>>().join("%25");
    let (headers, cookies) = headers_and_cookies(&forwarded_headers(&parts.headers, client));
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
                "sourceIp": client.address.to_string(),
                "userAgent": headers.get("user-agent"),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": event_time(now),
            "timeEpoch": now.timestamp_millis(),
        },
        "isBase64Encoded": false,
    });
    // An empty part is left out instead of being null.
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(join_duplicates(query_parameters(query)));
    }
    if !path_parameters.is_empty() {
        event["pathParameters"] = json!(path_parameters);
    }
    if !body.is_empty() {
        add_body(&mut event, &parts.headers, body);
    }
    event
}

/// The headers with names in lower case and duplicates joined, and the cookies in a list of their own.
fn headers_and_cookies(headers: &HeaderMap) -> (BTreeMap<String, String>, Vec<String>) {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let cookies = headers.get_all(header::COOKIE).iter().map(text);
    let cookies = cookies.flat_map(|cookies| cookies.split("; ").map(str::to_owned).collect::<Vec<_>>());
    let others = headers.iter().filter(|(name, _)| *name != header::COOKIE);
    let others = others.map(|(name, value)| (name.as_str().to_owned(), text(value)));
    (join_duplicates(others), cookies.collect())
}

/// Joins the values of equal names with commas.
fn join_duplicates(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
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

/// Adds a body as text if it has a text type and is valid UTF-8, and otherwise in base64.
fn add_body(event: &mut Value, headers: &HeaderMap, body: &Bytes) {
    match std::str::from_utf8(body) {
        Ok(text) if has_text_type(headers) => event["body"] = json!(text),
        _ => {
            event["body"] = json!(BASE64_STANDARD.encode(body));
            event["isBase64Encoded"] = json!(true);
        }
    }
}

fn has_text_type(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || matches!(media_type.as_str(), "application/json" | "application/xml" | "application/javascript")
}

/// A function's response in payload format 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionResponse {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, ResponseHeader>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// Turns a function's response into an HTTP response. Returns `None` if it is malformed.
fn http_response(function_response: &RawValue) -> Option<Response<Body>> {
    let value: Value = serde_json::from_str(function_response.get()).ok()?;
    if value.get("statusCode").is_none() {
        // Without a status, format 2.0 takes the whole response as the body.
        let body = value.as_str().unwrap_or(function_response.get()).to_owned();
        return Some(json_response(StatusCode::OK, body));
    }
    let FunctionResponse { status_code, headers, cookies, body, is_base64_encoded } =
        serde_json::from_value(value).ok()?;
    let body = match body.unwrap_or_default() {
        text if is_base64_encoded => BASE64_STANDARD.decode(text).ok()?,
        text => text.into_bytes(),
    };
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = response_status(status_code)?;
    let response_headers = response.headers_mut();
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response_headers.append(header::SET_COOKIE, cookie);
        }
    }
    for (name, value) in headers {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value.into_value())
            && !FRAMING_HEADERS.contains(&name)
        {
            response_headers.append(name, value);
        }
    }
    if has_body && !response_headers.contains_key(header::CONTENT_TYPE) {
        let plain_text = HeaderValue::from_static("text/plain;charset=UTF-8");
        response_headers.insert(header::CONTENT_TYPE, plain_text);
    }
    Some(response)
}
