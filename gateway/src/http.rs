//! The HTTP API: a request becomes an event of payload format 2.0, and its answer a response
//! (AWS: "Create AWS Lambda proxy integrations for HTTP APIs").

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::Gateway;
use crate::connections::new_id;
use crate::invoke::{Failure, within};
use crate::limits::EVENT_BYTES;
use crate::template::HttpRoute;

/// Path patterns to functions, for each method.
#[derive(Debug, Default)]
pub(crate) struct Routes(HashMap<String, matchit::Router<(String, String)>>);

impl Routes {
    /// # Errors
    /// Two routes that match the same requests.
    pub(crate) fn new(routes: &[HttpRoute]) -> Result<Self, matchit::InsertError> {
        let mut by_method: HashMap<String, matchit::Router<(String, String)>> = HashMap::new();
        for route in routes {
            // A greedy `{proxy+}` is `{*proxy}` to matchit; the rest of the syntax is the same.
            let pattern = match route.path.strip_suffix("+}").and_then(|path| path.rsplit_once('{')) {
                Some((path, name)) => format!("{path}{{*{name}}}"),
                None => route.path.clone(),
            };
            let key = format!("{} {}", route.method, route.path);
            by_method
                .entry(route.method.clone())
                .or_default()
                .insert(pattern, (key, route.function.clone()))?;
        }
        Ok(Self(by_method))
    }

    /// The route key, the function and the decoded path parameters. The fullest match wins, and an
    /// explicit method before `ANY`.
    fn find(&self, method: &str, path: &str) -> Option<(&str, &str, BTreeMap<String, String>)> {
        [method, "ANY"].iter().find_map(|method| {
            let found = self.0.get(*method)?.at(path).ok()?;
            let parameters =
                found.params.iter().map(|(name, value)| (name.to_owned(), decoded(value))).collect();
            Some((found.value.0.as_str(), found.value.1.as_str(), parameters))
        })
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Answers one request.
pub(crate) async fn answer(gateway: &Gateway, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let Some((route_key, function, parameters)) = gateway.routes.find(parts.method.as_str(), path) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    let Ok(body) = to_bytes(body, EVENT_BYTES).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let request_id = new_id();
    let event = event(&parts, peer, &request_id, route_key, parameters, &body);
    let Ok(event) = to_raw_value(&event) else {
        return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    };
    let call = gateway.functions.invoke(function, &request_id, event);
    match within(gateway.limits.integration, call).await {
        Ok(answer) => response(&answer),
        Err(Failure::Error) => message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        Err(Failure::Timeout) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

fn event(
    parts: &Parts,
    peer: SocketAddr,
    request_id: &str,
    route_key: &str,
    parameters: BTreeMap<String, String>,
    body: &Bytes,
) -> Value {
    let now = Utc::now();
    let query = parts.uri.query().unwrap_or_default();
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // Every escape is decoded but %25.
    let raw_path = parts.uri.path().split("%25").map(decoded).collect::<Vec<_>>().join("%25");
    let (headers, cookies) = headers(&parts.headers);
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
        event["queryStringParameters"] = json!(query_parameters(query));
    }
    if !parameters.is_empty() {
        event["pathParameters"] = json!(parameters);
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
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        if *name == header::COOKIE {
            cookies.extend(value.split("; ").map(str::to_owned));
            continue;
        }
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    (joined, cookies)
}

/// Decoded, values of one name joined by a comma.
pub(crate) fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(|text| decoded(&text.replace('+', " ")));
        parameters
            .entry(name)
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    multi_value_headers: HashMap<String, Vec<String>>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

fn response(answer: &RawValue) -> Response<Body> {
    let invalid = || message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    let Ok(answer) = serde_json::from_str::<Answer>(answer.get()) else {
        return invalid();
    };
    let Ok(status) = StatusCode::from_u16(answer.status_code) else {
        return invalid();
    };
    let body = match (answer.body, answer.is_base64_encoded) {
        (None, _) => Body::empty(),
        (Some(text), false) => Body::from(text),
        (Some(text), true) => match BASE64_STANDARD.decode(text) {
            Ok(bytes) => Body::from(bytes),
            Err(_) => return invalid(),
        },
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let cookies = answer.cookies.into_iter().map(|cookie| ("set-cookie".to_owned(), cookie));
    let multiple = answer.multi_value_headers.into_iter();
    let multiple =
        multiple.flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
    for (name, value) in cookies.chain(answer.headers).chain(multiple) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// An answer of API Gateway itself.
pub(crate) fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
