//! API Gateway on one machine: the routes of `template.yaml`, the events and answers of payload
//! format 2.0 and of WebSocket APIs, and the limits of both, on one port.

pub mod connections;
mod http;
pub mod invoke;
pub mod limits;
pub mod management;
pub mod template;
mod websocket;

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

use connections::Connections;
use invoke::Functions;
use limits::Limits;
use template::Template;

/// A gateway, ready to serve.
pub struct Gateway {
    template: Template,
    routes: http::Routes,
    functions: Arc<dyn Functions>,
    connections: Arc<Connections>,
    limits: Limits,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("template", &self.template).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway that serves the template's routes by these functions; what is pushed to
    /// `connections` reaches its sockets.
    ///
    /// # Errors
    /// Two routes of the template that match the same requests.
    pub fn new(
        template: Template,
        functions: Arc<dyn Functions>,
        connections: Arc<Connections>,
        limits: Limits,
    ) -> Result<Self, matchit::InsertError> {
        let routes = http::Routes::new(&template.http)?;
        Ok(Self { template, routes, functions, connections, limits })
    }

    /// Serves until `stop` is done; then closes every socket and waits for their `$disconnect`.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let gateway = Arc::new(self);
        let router = Router::new().fallback(request).with_state(gateway.clone());
        // Frames are small and somebody waits for each.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        let (stopping, stopped) = oneshot::channel();
        let longest = gateway.limits.stopping;
        let stop = async move {
            stop.await;
            _ = stopping.send(());
            gateway.connections.close_all().await;
        };
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serve = axum::serve(listener, service).with_graceful_shutdown(stop);
        let too_long = async {
            match stopped.await {
                Ok(()) => tokio::time::sleep(longest).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            served = serve => served,
            () = too_long => {
                tracing::warn!("stopped without waiting longer for clients that hold on");
                Ok(())
            }
        }
    }
}

/// HTTP and WebSocket share the port: a request that asks for an upgrade of `/` is a handshake.
async fn request(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request<Body>,
) -> Response<Body> {
    let asks = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match upgrade {
        _ if !asks => http::answer(&gateway, peer, request).await,
        Ok(upgrade) if request.uri().path() == "/" => {
            websocket::handshake(gateway, peer, request.into_parts().0, upgrade).await
        }
        Ok(_) => http::message(StatusCode::FORBIDDEN, "Forbidden"),
        Err(_) => http::message(StatusCode::BAD_REQUEST, "Bad Request"),
    }
}
