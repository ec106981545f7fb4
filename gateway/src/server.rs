//! Serves the HTTP API and the WebSocket API on one port.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, WebSocketUpgrade};
use axum::http::{Request, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout, timeout_at};

use crate::gateway::Gateway;
use crate::integration::error_response;
use crate::port::Port;
use crate::proxies::Client;
use crate::store::PublicStore;
use crate::{event_source, http, schedule, socket_io, websocket};

/// How long functions have to end at their next `await`.
const END_OF_FUNCTIONS: Duration = Duration::from_secs(1);

impl Gateway {
    /// Serves until `stop` completes. Then it stops in this order, each step within its time:
    ///
    /// 1. It accepts no connections, opens no sockets and reads no messages any more. Requests and messages that
    ///    it has read are handled and answered, within
    ///    [`GatewayLimits::drain_timeout`](crate::limits::GatewayLimits::drain_timeout).
    /// 2. It closes every socket, and waits until `$disconnect` functions and all jobs have finished, within
    ///    [`GatewayLimits::shutdown_timeout`](crate::limits::GatewayLimits::shutdown_timeout). No job is delayed any more.
    /// 3. It ends the functions that still run, within a second. Afterwards none uses the database.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) {
        let gateway = Arc::new(self);
        let limits = gateway.limits;
        let schedules = tokio::spawn(schedule::run(gateway.clone()));
        let event_sources = tokio::spawn(event_source::run(gateway.clone()));
        let port = Port {
            listener,
            tls: gateway.tls.clone(),
            proxies: gateway.proxies.clone(),
            connections: gateway.connection_limits,
            limits,
        };
        let served = gateway.clone();
        let handle = move |client, request| dispatch(served.clone(), client, request);
        let stop = async {
            stop.await;
            schedules.abort();
            gateway.stopping.send_replace(Some(Instant::now() + limits.drain_timeout));
        };
        port.serve(handle, stop).await;
        let drained = gateway.stopping.borrow().unwrap_or_else(Instant::now);
        if timeout_at(drained, gateway.messages.closed()).await.is_err() {
            tracing::warn!("stopped before all messages were answered");
        }
        let finished = async {
            gateway
                .connections
                .close_all(|protocol| gateway.farewell.and_then(|farewell| farewell(protocol)))
                .await;
            gateway.queues.finish().await;
        };
        if timeout(limits.shutdown_timeout, finished).await.is_err() {
            tracing::warn!("stopped before all sockets and jobs had ended");
        }
        if timeout(END_OF_FUNCTIONS, gateway.end_functions()).await.is_err() {
            tracing::warn!("stopped before all functions had ended");
        }
        event_sources.abort();
    }
}

/// Passes what is below `/store` to the object store, a WebSocket upgrade of `/` or Socket.IO's path to the WebSocket
/// API, and every other request to the HTTP API.
async fn dispatch(gateway: Arc<Gateway>, client: Client, request: Request<Body>) -> Response<Body> {
    let is_upgrade = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if let Some(store) = &gateway.store
        && PublicStore::is_path(request.uri().path())
    {
        return store.handle(request).await;
    }
    if !is_upgrade {
        return http::handle(&gateway, client, request).await;
    }
    if let Some(refusal) = socket_io::refusal(request.uri(), true) {
        return refusal;
    }
    if gateway.is_stopping() {
        return error_response(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    }
    let is_root = request.uri().path() == "/" || socket_io::is_path(request.uri().path());
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) if is_root => websocket::handshake(gateway, client, parts, upgrade).await,
        Ok(_) => error_response(StatusCode::FORBIDDEN, "Forbidden"),
        Err(_) => error_response(StatusCode::BAD_REQUEST, "Bad Request"),
    }
}
