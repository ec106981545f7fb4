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
pub mod measuring;
mod meters;
pub mod page;
pub mod peers;
mod port;
mod proxies;
pub mod queues;
mod routes;
mod schedule;
mod server;
mod socket_io;
pub mod sqs;
pub mod store;
pub mod template;
pub mod tls;
mod websocket;

pub use crate::gateway::Gateway;
