//! Serves the HTTP API and the WebSocket API on one port.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State, WebSocketUpgrade};
use axum::http::{Request, Response, StatusCode, header};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::integration::error_response;
use crate::{event_source, http, schedule, websocket};

impl Gateway {
    /// Serves until `stop` completes. Then it closes every socket and waits, for at most
    /// [`GatewayLimits::shutdown_timeout`](crate::limits::GatewayLimits::shutdown_timeout), until requests, `$disconnect`
    /// functions and all jobs have finished. Then no job is delayed any more.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let gateway = Arc::new(self);
        let service = Router::new()
            .fallback(dispatch)
            .with_state(gateway.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        // Nagle's algorithm would hold back small frames that clients wait for.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        let schedules = tokio::spawn(schedule::run(gateway.clone()));
        let event_sources = tokio::spawn(event_source::run(gateway.clone()));
        let shutdown_timeout = gateway.limits.shutdown_timeout;
        let (stopping, stopped) = oneshot::channel();
        let stop = async move {
            stop.await;
            schedules.abort();
            _ = stopping.send(());
            gateway.connections.close_all().await;
            gateway.queues.finish().await;
            event_sources.abort();
        };
        let shutdown_took_too_long = async {
            match stopped.await {
                Ok(()) => tokio::time::sleep(shutdown_timeout).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            served = axum::serve(listener, service).with_graceful_shutdown(stop) => served,
            () = shutdown_took_too_long => {
                tracing::warn!("stopped before all requests and sockets had ended");
                Ok(())
            }
        }
    }
}

/// Passes a WebSocket upgrade of `/` to the WebSocket API and every other request to the HTTP API.
async fn dispatch(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request<Body>,
) -> Response<Body> {
    let is_upgrade = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !is_upgrade {
        return http::handle(&gateway, peer, request).await;
    }
    match upgrade {
        Ok(upgrade) if request.uri().path() == "/" => {
            websocket::handshake(gateway, peer, request.into_parts().0, upgrade).await
        }
        Ok(_) => error_response(StatusCode::FORBIDDEN, "Forbidden"),
        Err(_) => error_response(StatusCode::BAD_REQUEST, "Bad Request"),
    }
}
