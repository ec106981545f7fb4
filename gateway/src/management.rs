//! The `@connections` management API, for functions that run as processes of their own (API Gateway
//! Management API, version 2018-11-29). It checks no signature, so it belongs on loopback.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::percent_decode_str;
use serde_json::json;
use shared::base::push::{NotDelivered, Sockets};
use tokio::net::TcpListener;

use crate::connections::{Connections, Details};
use crate::limits::MESSAGE_BYTES;

/// The SDK tells errors apart by this header (AWS JSON and REST protocols, "error shapes").
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Serves the management API of these sockets, for as long as it is polled.
///
/// # Errors
/// The listener's.
pub async fn serve(connections: Arc<Connections>, listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, Router::new().fallback(request).with_state(connections)).await
}

async fn request(State(connections): State<Arc<Connections>>, request: Request<Body>) -> Response<Body> {
    // An id ends in `=` and may hold `/` and `+`, which the SDK escapes.
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    let Some(connection_id) = path.strip_prefix("/@connections/") else {
        return error(
            StatusCode::FORBIDDEN,
            "ForbiddenException",
            "There is only /@connections/{connectionId}.",
        );
    };
    let done = match *request.method() {
        Method::POST => match to_bytes(request.into_body(), MESSAGE_BYTES).await {
            Ok(frame) => connections.post(connection_id, frame).await.map(|()| empty(StatusCode::OK)),
            Err(_) => return too_large(),
        },
        Method::GET => connections.details(connection_id).map(told).ok_or(NotDelivered::Gone),
        Method::DELETE => connections.close(connection_id).await.map(|()| empty(StatusCode::NO_CONTENT)),
        _ => return error(StatusCode::FORBIDDEN, "ForbiddenException", "There are POST, GET and DELETE."),
    };
    done.unwrap_or_else(refusal)
}

fn empty(status: StatusCode) -> Response<Body> {
    answer(status, Body::empty())
}

fn answer(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer
}

fn told(details: Details) -> Response<Body> {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut identity = json!({ "sourceIp": details.source_ip });
    if let Some(user_agent) = details.user_agent {
        identity["userAgent"] = json!(user_agent);
    }
    as_json(
        StatusCode::OK,
        &json!({
            "connectedAt": time(details.connected_at),
            "identity": identity,
            "lastActiveAt": time(details.last_active_at),
        }),
    )
}

fn as_json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut answer = answer(status, Bytes::from(body.to_string()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn refusal(why: NotDelivered) -> Response<Body> {
    match why {
        NotDelivered::Gone => error(StatusCode::GONE, "GoneException", "The connection is not open."),
        NotDelivered::Throttled => error(
            StatusCode::TOO_MANY_REQUESTS,
            "LimitExceededException",
            "The client does not read what waits for it.",
        ),
        NotDelivered::Failed => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerException", "The frame was not taken.")
        }
    }
}

fn too_large() -> Response<Body> {
    error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", "A message has at most 128 KB.")
}

fn error(status: StatusCode, kind: &'static str, message: &str) -> Response<Body> {
    let mut answer = as_json(status, &json!({ "message": message }));
    answer.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(kind));
    answer
}
