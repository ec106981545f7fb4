//! CORS of the HTTP API (AWS: "Configure CORS for HTTP APIs in API Gateway").

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts};

use crate::template::Cors;

/// The CORS headers of a response, which are the configuration's and never a function's.
const OF_A_RESPONSE: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
];

/// The answer to a preflight, which asks no function, whether there is a route or not. `None` for
/// every other request.
pub(crate) fn preflight(cors: &Cors, request: &Parts) -> Option<Response<Body>> {
    let asks = request.method == Method::OPTIONS
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let origin = request.headers.get(header::ORIGIN).filter(|_| asks)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if allow(cors, origin, response.headers_mut()) {
        let headers = response.headers_mut();
        set_list(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        set_list(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        if let Some(seconds) = cors.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
    }
    Some(response)
}

/// Replaces a response's CORS headers by those that the configuration gives this origin.
pub(crate) fn set(cors: &Cors, origin: Option<&HeaderValue>, response: &mut Response<Body>) {
    for name in &OF_A_RESPONSE {
        response.headers_mut().remove(name);
    }
    if let Some(origin) = origin {
        allow(cors, origin, response.headers_mut());
    }
}

/// Sets what preflights and answers have in common, if the origin is allowed.
fn allow(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) -> bool {
    let Some(allowed) = allowed_origin(cors, origin) else {
        return false;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    set_list(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
    true
}

/// `*` if every origin is allowed, else the origin itself if the list has it.
fn allowed_origin(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    if cors.allow_origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    cors.allow_origins.iter().any(|allowed| origin == allowed.as_str()).then(|| origin.clone())
}

fn set_list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if values.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(values.join(",")) {
        headers.insert(name, value);
    }
}
