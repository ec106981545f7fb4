//! API Gateway on one machine. One port serves an HTTP API (payload format 2.0) and a WebSocket API,
//! with the routes of `template.yaml` and the limits of AWS.

pub mod connections;
mod cors;
mod gateway;
mod http;
mod integration;
pub mod invoke;
pub mod limits;
pub mod management;
mod routes;
mod schedule;
mod server;
pub mod store;
pub mod template;
mod websocket;

pub use crate::gateway::Gateway;
