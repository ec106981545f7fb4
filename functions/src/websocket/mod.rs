//! The three routes of the WebSocket API, the handlers of the events under [`events`], and what the packets of Socket.IO
//! mean.

mod connect;
mod disconnect;
pub mod events;
mod handle;
mod message;
mod meters;
mod socket_io;

pub use connect::connect;
pub(crate) use disconnect::forget;
pub use disconnect::{disconnect, disconnect_lost};
pub use message::message;

use std::collections::HashMap;

use lambda_http::aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use serde::Serialize;
use shared::Error;
use shared::base::ids::ConnectionId;

/// An event of API Gateway's WebSocket API.
pub type SocketEvent = ApiGatewayWebsocketProxyRequest;

/// A function's answer to an event. On `$connect` the status decides whether the handshake succeeds; on the
/// other routes API Gateway drops the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    status_code: u16,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    headers: HashMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl Reply {
    fn ok() -> Self {
        Self { status_code: 200, headers: HashMap::new(), body: None }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.to_owned());
        self
    }

    fn problem(error: &Error, request_id: &str) -> Self {
        error.log();
        let reply = Self {
            status_code: error.status(),
            headers: HashMap::from([("Content-Type", "application/problem+json".to_owned())]),
            body: Some(error.problem(request_id).to_string()),
        };
        match error.retry_after() {
            Some(seconds) => reply.with("Retry-After", &seconds.to_string()),
            None => reply,
        }
    }
}

/// Returns the id of the socket, and the id of the request.
pub(crate) fn ids(event: &SocketEvent) -> (ConnectionId, &str) {
    let context = &event.request_context;
    let connection_id = ConnectionId::new(context.connection_id.clone().unwrap_or_default());
    (connection_id, context.request_id.as_deref().unwrap_or_default())
}
