//! What functions in other processes need of the gateway: the `@connections` management API (API Gateway
//! Management API, version 2018-11-29), and the queues beside it. It checks no signatures, so bind it to
//! loopback only.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use shared::base::push::{NotDelivered, Sockets};
use tokio::net::TcpListener;

use crate::connections::{ConnectionDetails, Connections};
use crate::integration::{error_response, json_response, percent_decoded};
use crate::limits::MESSAGE_BYTES;
use crate::queues::Queues;
use crate::sqs;

/// The SDK recognizes errors by this header (AWS JSON and REST protocols: "error shapes").
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Serves the management API of these connections, and these queues, until the listener fails.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    connections: Arc<Connections>,
    queues: Arc<Queues>,
    listener: TcpListener,
) -> std::io::Result<()> {
    axum::serve(listener, Router::new().fallback(handle).with_state((connections, queues))).await
}

async fn handle(
    State((connections, queues)): State<(Arc<Connections>, Arc<Queues>)>,
    request: Request<Body>,
) -> Response<Body> {
    if sqs::is_action(request.headers()) {
        return sqs::handle(&queues, request).await;
    }
    // The SDK escapes a connection id, which ends in `=` and can contain `/` and `+`.
    let path = percent_decoded(request.uri().path());
    let Some(connection_id) = path.strip_prefix("/@connections/") else {
        return forbidden("The only path is /@connections/{connectionId}.");
    };
    let result = match *request.method() {
        Method::POST => match to_bytes(request.into_body(), MESSAGE_BYTES).await {
            Ok(frame) => {
                connections.post(connection_id, frame).await.map(|()| StatusCode::OK.into_response())
            }
            Err(_) => return too_large(),
        },
        Method::GET => connections.details(connection_id).map(details_response).ok_or(NotDelivered::Gone),
        Method::DELETE => {
            connections.close(connection_id).await.map(|()| StatusCode::NO_CONTENT.into_response())
        }
        _ => return forbidden("The only methods are POST, GET and DELETE."),
    };
    result.unwrap_or_else(not_delivered)
}

fn details_response(details: ConnectionDetails) -> Response<Body> {
    let ConnectionDetails { connection, last_active_at } = details;
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let body = json!({
        "connectedAt": time(connection.connected_at),
        "identity": connection.identity(),
        "lastActiveAt": time(last_active_at),
    });
    json_response(StatusCode::OK, body.to_string())
}

fn not_delivered(error: NotDelivered) -> Response<Body> {
    match error {
        NotDelivered::Gone => typed_error(StatusCode::GONE, "GoneException", "The connection is not open."),
        NotDelivered::Throttled => typed_error(
            StatusCode::TOO_MANY_REQUESTS,
            "LimitExceededException",
            "The client does not read the frames that wait for it.",
        ),
        NotDelivered::Failed => typed_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerException",
            "The message could not be delivered.",
        ),
    }
}

fn forbidden(message: &str) -> Response<Body> {
    typed_error(StatusCode::FORBIDDEN, "ForbiddenException", message)
}

fn too_large() -> Response<Body> {
    typed_error(
        StatusCode::PAYLOAD_TOO_LARGE,
        "PayloadTooLargeException",
        "A message can have at most 128 KB.",
    )
}

fn typed_error(status: StatusCode, error_type: &'static str, message: &str) -> Response<Body> {
    let mut response = error_response(status, message);
    response.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(error_type));
    response
}
