//! CORS (AWS: "Configure CORS for HTTP APIs in API Gateway").

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use axum::response::IntoResponse;

use crate::template::Cors;

/// The CORS headers of responses. Only the configuration sets them, never a function.
const CORS_HEADERS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
];

/// The response to a preflight request, or `None` for any other request. A preflight succeeds even if
/// its path has no route, and invokes no function.
pub(crate) fn preflight_response(cors: &Cors, request: &Parts) -> Option<Response<Body>> {
    let is_preflight = request.method == Method::OPTIONS
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let origin = request.headers.get(header::ORIGIN).filter(|_| is_preflight)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    if allow_origin(cors, origin, headers) {
        set_list(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        set_list(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        if let Some(seconds) = cors.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
    }
    Some(response)
}

/// Replaces the CORS headers of a response with those that the configuration grants to this origin.
pub(crate) fn set_headers(cors: &Cors, origin: Option<&HeaderValue>, response: &mut Response<Body>) {
    for name in &CORS_HEADERS {
        response.headers_mut().remove(name);
    }
    if let Some(origin) = origin {
        allow_origin(cors, origin, response.headers_mut());
    }
}

/// Sets the headers that preflight responses and other responses share. Returns false, and sets
/// nothing, if the origin is not allowed.
fn allow_origin(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) -> bool {
    let allowed = if cors.allow_origins.iter().any(|allowed| allowed == "*") {
        HeaderValue::from_static("*")
    } else if cors.allow_origins.iter().any(|allowed| origin == allowed.as_str()) {
        origin.clone()
    } else {
        return false;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    set_list(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
    true
}

fn set_list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if values.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(values.join(",")) {
        headers.insert(name, value);
    }
}
