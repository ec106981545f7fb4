//! API Gateway on one machine: the routes of `template.yaml`, the events and answers of payload
//! format 2.0 and of WebSocket APIs, and the limits of both, on one port.

pub mod connections;
mod cors;
mod http;
pub mod invoke;
pub mod limits;
pub mod management;
mod routes;
mod schedule;
pub mod store;
pub mod template;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State, WebSocketUpgrade};
use axum::http::{Request, Response, StatusCode, header};
use axum::serve::ListenerExt;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use connections::Connections;
use invoke::{Failure, Functions, within};
use limits::{ANSWER_BYTES, Limits};
use template::Template;

/// A gateway, ready to serve.
pub struct Gateway {
    template: Template,
    routes: routes::Routes,
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
        let routes = routes::Routes::new(&template.http)?;
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
        let schedules = tokio::spawn(schedule::run(gateway.clone()));
        let stop = async move {
            stop.await;
            schedules.abort();
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

    /// Runs a function: for at most its own timeout, after which Lambda ends it, and waiting no
    /// longer than `patience`, after which API Gateway leaves it running. It runs in a task of its
    /// own, so that a panic ends the call and nothing else, and a client that leaves does not end it.
    async fn call(
        &self,
        patience: Duration,
        function: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> Result<Box<RawValue>, Failure> {
        let (functions, name) = (self.functions.clone(), function.to_owned());
        let timeout = self.template.timeouts.get(function).copied().unwrap_or(patience);
        let request_id = request_id.to_owned();
        let run = tokio::spawn(async move {
            let answer = within(timeout, functions.invoke(&name, &request_id, event)).await?;
            let bytes = answer.get().len();
            if bytes > ANSWER_BYTES {
                tracing::error!(name, bytes, "the answer is larger than Lambda carries");
                return Err(Failure::Error);
            }
            Ok(answer)
        });
        match tokio::time::timeout(patience, run).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                tracing::error!(function, %error, "function panicked");
                Err(Failure::Error)
            }
            Err(_) => Err(Failure::Timeout),
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
