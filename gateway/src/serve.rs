//! `coterie serve` and `coterie migrate`. `coterie dev` uses both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess, Remote};
use gateway::limits::GatewayLimits;
use gateway::management;
use gateway::queues::Queues;
use gateway::sqs::queue_url;
use gateway::store::Store;
use gateway::template::{self, Template};
use shared::App;
use shared::base::jobs::{Jobs, Queue};
use shared::base::migrations;
use shared::base::push::Push;
use shared::config::{Config, Keys};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::errors::unreachable_database;
use crate::settings::{ENV_FILE, settings};

/// How many database connections the process uses. (MySQL allows 151 by default.)
const DATABASE_CONNECTIONS: usize = 32;

/// Serves with the functions in this process.
pub(crate) async fn serve(
    mut config: Config,
    listener: TcpListener,
    template: Option<PathBuf>,
    uploads: &Path,
) -> Result<(), String> {
    if config.store.bucket.is_none() {
        let store = Store::new(uploads, listen(0, "PORT").await?, Store::random_keys())?;
        config.store = store.config();
        tokio::spawn(store.serve());
    }
    let connections = Arc::new(Connections::default());
    let template = read_template(template)?;
    let queues = Arc::new(Queues::new(&template));
    let app = App::new(config, Push::Local(connections.clone()), DATABASE_CONNECTIONS);
    let app = App { jobs: Jobs::Local(queues.clone()), ..app };
    let database = app.db.clone();
    database.ping().await.map_err(unreachable_database)?;
    let gateway = gateway(template, Arc::new(InProcess::new(app)), connections, queues)?;
    let stopped = stopped()?;
    log_address(&listener)?;
    gateway.serve(listener, stopped).await.map_err(|error| error.to_string())?;
    database.disconnect().await.map_err(|error| error.to_string())
}

/// Serves with the functions behind a Lambda Invoke endpoint.
pub(crate) async fn serve_remote(
    listener: TcpListener,
    template: Option<PathBuf>,
    endpoint: &str,
    management: TcpListener,
    store: Option<Store>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let connections = Arc::new(Connections::default());
    let functions = Remote::new(endpoint).map_err(|error| format!("--invoke {error}"))?;
    let template = read_template(template)?;
    let queues = Arc::new(Queues::new(&template));
    let gateway = gateway(template, Arc::new(functions), connections.clone(), queues.clone())?;
    let address = management.local_addr().map_err(|error| error.to_string())?;
    let origin = format!("http://{address}");
    tracing::info!("functions behind {endpoint}; they push with WS_MANAGEMENT_ENDPOINT={origin}");
    let urls = Queue::ALL.map(|queue| format!("{}={}", queue.setting(), queue_url(&origin, queue)));
    tracing::info!("they queue jobs with {}", urls.join(" and "));
    if let Some(store) = store {
        let address = store.config().endpoint.unwrap_or_default();
        tracing::info!("they keep files with UPLOADS_BUCKET=uploads and S3_ENDPOINT={address}");
        tokio::spawn(store.serve());
    }
    log_address(&listener)?;
    // The management API stops last, so that functions can post to sockets that are closing, and queue jobs.
    let served = tokio::select! {
        served = gateway.serve(listener, stopped) => served,
        served = management::serve(connections, queues, management) => served,
    };
    served.map_err(|error| error.to_string())
}

/// Makes the object store for functions that read its keys from the same settings.
pub(crate) async fn remote_store(port: u16, uploads: &Path) -> Result<Store, String> {
    let mut settings = settings(Path::new(ENV_FILE));
    let mut key =
        |name| settings.remove(name).filter(|key| !key.is_empty()).ok_or(format!("{name} must be set"));
    let keys = Keys { id: key("AWS_ACCESS_KEY_ID")?, secret: key("AWS_SECRET_ACCESS_KEY")?.into() };
    Store::new(uploads, listen(port, "--store-port").await?, keys)
}

fn read_template(file: Option<PathBuf>) -> Result<Template, String> {
    let yaml = match &file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => template::BUILT_IN.to_owned(),
    };
    Template::parse(&yaml).map_err(|error| error.to_string())
}

fn gateway(
    template: Template,
    functions: Arc<dyn Functions>,
    connections: Arc<Connections>,
    queues: Arc<Queues>,
) -> Result<Gateway, String> {
    let gateway = Gateway::new(template, functions, connections, queues, GatewayLimits::default());
    gateway.map_err(|error| error.to_string())
}

/// Listens only on loopback: this is a development server, and its signup grants may be open.
pub(crate) async fn listen(port: u16, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("port {port} is in use: choose another, like {setting}={}", port.saturating_add(1))
        }
        _ => format!("cannot listen on port {port}: {error}"),
    })
}

fn log_address(listener: &TcpListener) -> Result<(), String> {
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    tracing::info!("serving http://localhost:{port} and ws://localhost:{port}");
    Ok(())
}

/// Brings the schema up to date, and prints what it applied.
pub(crate) async fn migrate(config: &Config) -> Result<(), String> {
    let applied = migrations::migrate(&config.database).await.map_err(unreachable_database)?;
    for migration in &applied {
        println!("applied {migration}");
    }
    if applied.is_empty() {
        println!("nothing to apply: the schema is up to date");
    }
    Ok(())
}

/// Returns a future that completes on Ctrl-C or on the SIGTERM of a service manager. After this call, the two
/// signals no longer end the process by themselves.
pub(crate) fn stopped() -> Result<impl Future<Output = ()> + Send + 'static, String> {
    let catch = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
