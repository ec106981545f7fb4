//! Metrics for Prometheus, and whether the server is ready: on a port of their own (`docs/operating.md`).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use shared::App;
use shared::base::db::Usage;
use shared::config::ConnectionLimits;
use shared::messages::send_queue;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{interval, timeout};

use crate::connections::Connections;
use crate::integration::json_response;
use crate::limits::GatewayLimits;
use crate::port::Port;
use crate::proxies::Proxies;
use crate::queues::Queues;

/// Bounds of times, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of counts.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];
/// How often what was recorded is added up, also when nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long the database may take until the server counts as not ready.
const READY: Duration = Duration::from_secs(2);
/// Few ask.
const CONNECTIONS: ConnectionLimits = ConnectionLimits { all: Some(100), of_address: None };

/// What records all measurements of this process from now on.
#[derive(Clone, Debug)]
pub struct Measuring(PrometheusHandle);

/// What is looked at when somebody asks for the metrics.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The app of the functions.
    pub app: App,
    /// The sockets.
    pub connections: Arc<Connections>,
    /// The queues of jobs.
    pub queues: Arc<Queues>,
    /// Whether the server is about to stop.
    pub is_draining: watch::Receiver<bool>,
}

impl Measuring {
    /// Begins. It must come before the first measurement.
    ///
    /// # Errors
    /// Something else records already.
    pub fn begin() -> Result<Self, String> {
        let builder =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
        let builder = builder.and_then(|builder| {
            let builder = builder.set_buckets_for_metric(Matcher::Suffix("_messages".into()), &COUNTS)?;
            builder.set_buckets_for_metric(Matcher::Suffix("_sockets".into()), &COUNTS)
        });
        builder.and_then(PrometheusBuilder::install_recorder).map(Self).map_err(|error| error.to_string())
    }

    /// Serves `/metrics`, `/ready` and `/live`. Never returns.
    pub async fn serve(self, measured: Measured, listener: TcpListener) {
        let limits = GatewayLimits::default();
        let port =
            Port { listener, tls: None, proxies: Proxies::default(), connections: CONNECTIONS, limits };
        let metrics = self.0.clone();
        let handle = move |_, request| handle(metrics.clone(), measured.clone(), request);
        let upkeep = async {
            let mut interval = interval(UPKEEP);
            loop {
                interval.tick().await;
                self.0.run_upkeep();
            }
        };
        tokio::join!(port.serve(handle, std::future::pending()), upkeep);
    }
}

async fn handle(metrics: PrometheusHandle, measured: Measured, request: Request<Body>) -> Response<Body> {
    match request.uri().path() {
        "/metrics" => {
            measured.look().await;
            let mut response = metrics.render().into_response();
            let version = HeaderValue::from_static("text/plain; version=0.0.4");
            response.headers_mut().insert(header::CONTENT_TYPE, version);
            response
        }
        "/ready" => match measured.unready().await {
            None => json_response(StatusCode::OK, r#"{"status":"ready"}"#.to_owned()),
            Some(why) => json_response(StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"status":"{why}"}}"#)),
        },
        "/live" => json_response(StatusCode::OK, r#"{"status":"live"}"#.to_owned()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Measured {
    /// Sets what is not counted, but is there.
    async fn look(&self) {
        gauge!("coterie_sockets").set(self.connections.count() as f64);
        gauge!("coterie_messages_waiting").set(send_queue::waiting(&self.app) as f64);
        for (queue, waiting) in self.queues.waiting() {
            gauge!("coterie_jobs_waiting", "queue" => queue.to_owned()).set(waiting as f64);
        }
        let Usage { in_use, idle, waiting } = self.app.db.usage().await;
        gauge!("coterie_database_connections", "state" => "in use").set(in_use as f64);
        gauge!("coterie_database_connections", "state" => "idle").set(idle as f64);
        gauge!("coterie_database_waiting").set(waiting as f64);
        gauge!("coterie_draining").set(f64::from(*self.is_draining.borrow()));
        gauge!("coterie_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }

    /// Why no new client should come here, if there is a reason.
    async fn unready(&self) -> Option<&'static str> {
        let mut is_draining = self.is_draining.clone();
        tokio::select! {
            biased;
            // Also while the database is asked, which may take as long as the server has left.
            _ = is_draining.wait_for(|&is_draining| is_draining) => Some("draining"),
            answered = timeout(READY, self.app.db.ping()) => match answered {
                Ok(Ok(())) => None,
                _ => Some("database unavailable"),
            },
        }
    }
}
