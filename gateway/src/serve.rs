//! `coterie serve` and `coterie migrate`. `coterie dev` uses both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess, Remote};
use gateway::limits::GatewayLimits;
use gateway::management;
use gateway::queues::Queues;
use gateway::sqs::queue_url;
use gateway::store::Store;
use gateway::template::{self, Template};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shared::base::jobs::{Jobs, Queue};
use shared::base::push::Push;
use shared::config::{Config, ConnectionLimits, Keys};
use shared::sockets::processes::ServerProcess;
use shared::{App, schema};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::errors::unreachable_database;
use crate::settings::{ENV_FILE, settings};

/// How many database connections the process uses. (MySQL allows 151 by default.)
const DATABASE_CONNECTIONS: usize = 32;
/// How many files the process may have open besides the connections of its clients: files of the object store,
/// connections to the database and to the functions.
const OTHER_FILES: u64 = 200;
/// How often the process looks for sockets of processes that were killed.
const LOOKING_FOR_LOST: Duration = Duration::from_secs(60);
/// How long the connections to the database may take to end. With the two steps of
/// [`Gateway::serve`](gateway::Gateway::serve), stopping takes less than 10 s.
const DATABASE_END: Duration = Duration::from_secs(1);

/// Serves with the functions in this process.
pub(crate) async fn serve(
    mut config: Config,
    listener: TcpListener,
    template: Option<PathBuf>,
    uploads: &Path,
) -> Result<(), String> {
    let connection_limits = affordable(config.connections);
    if config.store.bucket.is_none() {
        let store = Store::new(uploads, listen(0, "PORT").await?, Store::random_keys())?;
        config.store = store.config();
        tokio::spawn(store.serve(connection_limits));
    }
    // Its lock is taken before its first socket opens, and free when the process has ended.
    let process = ServerProcess::start(config.database.clone()).await.map_err(unreachable_database)?;
    let connections = Arc::new(Connections::default());
    let template = read_template(template)?;
    let queues = Arc::new(Queues::new(&template));
    let app = App::new(config, Push::Local(connections.clone()), DATABASE_CONNECTIONS);
    let app = App { jobs: Jobs::Local(queues.clone()), process_id: Some(process.id().into()), ..app };
    let database = app.db.clone();
    let looking = tokio::spawn(look_for_lost(app.clone()));
    let gateway = gateway(template, Arc::new(InProcess::new(app)), connections, queues)?;
    let stopped = stopped()?;
    log_address(&listener)?;
    gateway.with_connection_limits(connection_limits).serve(listener, stopped).await;
    looking.abort();
    match timeout(DATABASE_END, database.disconnect()).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => {
            tracing::warn!("stopped before the database's connections had ended");
            Ok(())
        }
    }
}

/// Ends the sockets of processes that were killed, now and from time to time. Never returns.
async fn look_for_lost(app: App) {
    loop {
        if let Err(error) = functions::websocket::disconnect_lost(&app).await {
            error.log();
        }
        sleep(LOOKING_FOR_LOST).await;
    }
}

/// Lets the process open as many files as the system allows, and lowers limits that are too high even for that.
/// The server's port and the store's have half of the files each.
fn affordable(limits: ConnectionLimits) -> ConnectionLimits {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Without the right to raise it, the limit stays.
    _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = u32::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(u32::MAX).max(1);
    match limits.all {
        Some(all) if all > most => {
            tracing::info!(
                files,
                "MAX_CONNECTIONS is {most}, because the process can open only so many files"
            );
            ConnectionLimits { all: Some(most), ..limits }
        }
        _ => limits,
    }
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
    let limits = ConnectionLimits::from(settings(Path::new(ENV_FILE))).map_err(|error| error.to_string())?;
    let limits = affordable(limits);
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
        tokio::spawn(store.serve(limits));
    }
    log_address(&listener)?;
    // The management API stops last, so that functions can post to sockets that are closing, and queue jobs.
    tokio::select! {
        () = gateway.with_connection_limits(limits).serve(listener, stopped) => Ok(()),
        served = management::serve(connections, queues, management) => {
            served.map_err(|error| error.to_string())
        }
    }
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
    let applied = schema::migrate(&config.database).await.map_err(unreachable_database)?;
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
