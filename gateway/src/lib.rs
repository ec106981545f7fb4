//! API Gateway on one machine. One port serves an HTTP API (payload format 2.0) and a WebSocket API,
//! with the routes and queues of `template.yaml` and the limits of AWS.

mod bodies;
pub mod connections;
mod cors;
mod event_source;
mod gateway;
mod http;
mod integration;
pub mod invoke;
pub mod limits;
pub mod management;
mod port;
pub mod queues;
mod routes;
mod schedule;
mod server;
pub mod sqs;
pub mod store;
pub mod template;
mod websocket;

pub use crate::gateway::Gateway;
