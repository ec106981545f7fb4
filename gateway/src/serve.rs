//! `coterie serve` and `coterie migrate`. `coterie dev` uses both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess, Remote};
use gateway::limits::GatewayLimits;
use gateway::management;
use gateway::measuring::{Measured, Measuring};
use gateway::page::Page;
use gateway::peers::{self, PeerClient};
use gateway::queues::Queues;
use gateway::sqs::queue_url;
use gateway::store::{PublicStore, Store};
use gateway::template::{self, Template};
use gateway::tls::Tls;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shared::base::jobs::{Jobs, Queue};
use shared::base::push::{Process, Push};
use shared::base::tokens::RefreshTokens;
use shared::config::{Config, ConnectionLimits, Keys, ServerSettings, StoreSettings};
use shared::events::announce;
use shared::sockets::processes::{self, ServerProcess};
use shared::{App, schema};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::errors::unreachable_database;
use crate::settings::{ENV_FILE, settings};

/// How many database connections the process uses. (MySQL allows 151 by default.)
const DATABASE_CONNECTIONS: usize = 32;
/// How many files the process may have open besides the connections of its clients: files of the object store,
/// connections to the database and to the functions.
const OTHER_FILES: u64 = 200;
/// How many connections may wait until they are accepted.
const BACKLOG: u32 = 1024;
/// How often the process looks for sockets of processes that were killed.
const LOOKING_FOR_LOST: Duration = Duration::from_secs(15);
/// How much later than a post that nobody takes it looks. The database server may notice later than the posts that the
/// connections of a killed process have ended.
const MOMENT: Duration = Duration::from_secs(1);
/// How often the process looks whether its certificate was renewed.
const LOOKING_FOR_CERTIFICATES: Duration = Duration::from_secs(60);
/// How long the connections to the database may take to end. With the two steps of
/// [`Gateway::serve`](gateway::Gateway::serve), stopping takes less than 10 s.
const DATABASE_END: Duration = Duration::from_secs(1);

/// Serves with the functions in this process.
pub(crate) async fn serve(
    mut config: Config,
    listener: TcpListener,
    template: Option<PathBuf>,
    uploads: &Path,
    web: Option<&Path>,
) -> Result<(), String> {
    let server = config.server.clone();
    // Before anything is measured.
    let measuring = match server.metrics_listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            let listener =
                listener.map_err(|error| format!("cannot listen on METRICS_LISTEN={address}: {error}"))?;
            Some((Measuring::begin()?, listener))
        }
        None => None,
    };
    let connection_limits = affordable(server.connections);
    let tls = server.tls.clone().map(Tls::new).transpose()?;
    let url = own_url(&server, &listener)?;
    let store = match config.store.bucket {
        Some(_) => None,
        None => {
            let keys = RefreshTokens::new(&config).store_keys().map_err(|error| error.to_string())?;
            let store = Store::new(uploads, listen_here(0, "PORT").await?, keys)?;
            let public_url = server.public_url.as_deref().unwrap_or(&url);
            config.store = store.config();
            config.store.public_url = Some(PublicStore::url(public_url));
            let public = store.public();
            tokio::spawn(store.serve(connection_limits));
            Some(public)
        }
    };
    let page = page(web, &config.store)?;
    let posts = TcpListener::bind(server.peer_listen).await;
    let posts =
        posts.map_err(|error| format!("cannot listen on PEER_LISTEN={}: {error}", server.peer_listen))?;
    let posts_address = posts.local_addr().map_err(|error| error.to_string())?;
    // Its lock is taken before its first socket opens, and free when the process has ended.
    let process = ServerProcess::start(config.database.clone(), posts_address).await;
    let process = Arc::new(process.map_err(unreachable_database)?);
    let connections = Arc::new(Connections::default());
    let template = read_template(template, &config.allowed_origins)?;
    let queues = Arc::new(Queues::new(&template));
    let app = App::new(config, Push::Local(connections.clone()), DATABASE_CONNECTIONS);
    let missed = Arc::new(Notify::new());
    let own =
        Process { id: process.id().into(), peers: Arc::new(PeerClient::new()?), missed: missed.clone() };
    let app = App { jobs: Jobs::Local(queues.clone()), process: Some(own), ..app };
    let database = app.db.clone();
    let looking = tokio::spawn(look_for_lost(app.clone(), missed));
    let taking_posts = tokio::spawn(peers::serve(app.clone(), process.clone(), posts));
    let draining = watch::Sender::new(false);
    let measured = Measured {
        app: app.clone(),
        connections: connections.clone(),
        queues: queues.clone(),
        is_draining: draining.subscribe(),
    };
    let measuring = measuring.map(|(measuring, listener)| tokio::spawn(measuring.serve(measured, listener)));
    let gateway = gateway(template, Arc::new(InProcess::new(app)), connections, queues)?;
    let mut gateway = gateway
        .with_connection_limits(connection_limits)
        .with_trusted_proxies(server.trusted_proxies.clone())
        .with_tls(tls.clone())
        .with_page(page);
    if let Some(store) = store {
        gateway = gateway.with_store(store);
    }
    let renewing = tls.map(renew).transpose()?.map(tokio::spawn);
    let stopped = stopped()?;
    if !server.listen.is_loopback() && server.tls.is_none() && server.trusted_proxies.is_empty() {
        tracing::warn!("without TLS: whoever is on the way to a client reads its passwords and messages");
    }
    tracing::info!("serving {url} and {}", url.replacen("http", "ws", 1));
    let stopped = async move {
        stopped.await;
        draining.send_replace(true);
    };
    gateway.serve(listener, stopped).await;
    looking.abort();
    taking_posts.abort();
    renewing.into_iter().chain(measuring).for_each(|task| task.abort());
    let ended = async {
        processes::forget(&database, process.id()).await?;
        database.disconnect().await
    };
    match timeout(DATABASE_END, ended).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => {
            tracing::warn!("stopped before the database's connections had ended");
            Ok(())
        }
    }
}

/// Uses renewed certificates: at the signal HUP, and when the files have changed.
fn renew(tls: Tls) -> Result<impl Future<Output = ()> + Send + 'static, String> {
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.map_err(|error| format!("cannot wait for signals: {error}"))?;
    Ok(async move {
        loop {
            _ = timeout(LOOKING_FOR_CERTIFICATES, hangup.recv()).await;
            match tls.reload() {
                Ok(true) => tracing::info!("the certificate is renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!("{error}; the certificate before stays in use"),
            }
        }
    })
}

/// Ends the sockets of processes that were killed: now, from time to time, and when one has not taken a post. Never
/// returns.
async fn look_for_lost(app: App, missed: Arc<Notify>) {
    loop {
        if let Err(error) = functions::websocket::disconnect_lost(&app).await {
            error.log();
        }
        if timeout(LOOKING_FOR_LOST, missed.notified()).await.is_ok() {
            sleep(MOMENT).await;
        }
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
    web: Option<&Path>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let (server, origins) =
        ServerSettings::with_origins(settings(Path::new(ENV_FILE))).map_err(|error| error.to_string())?;
    if server.is_exposed() || server.tls.is_some() {
        // The store and the management API of those functions are for this machine.
        return Err(
            "--invoke serves this machine only: unset LISTEN, PUBLIC_URL, TRUSTED_PROXIES and TLS_CERT"
                .to_owned(),
        );
    }
    let limits = affordable(server.connections);
    let connections = Arc::new(Connections::default());
    let functions = Remote::new(endpoint).map_err(|error| format!("--invoke {error}"))?;
    let template = read_template(template, &origins)?;
    let queues = Arc::new(Queues::new(&template));
    let gateway = gateway(template, Arc::new(functions), connections.clone(), queues.clone())?;
    let own = store.as_ref().map(Store::config);
    let gateway = gateway.with_page(page(web, &own.unwrap_or_else(store_elsewhere))?);
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
    let url = own_url(&server, &listener)?;
    tracing::info!("serving {url} and {}", url.replacen("http", "ws", 1));
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
    Store::new(uploads, listen_here(port, "--store-port").await?, keys)
}

/// Reads the page in a folder, which may load from and post to this store.
fn page(folder: Option<&Path>, store: &StoreSettings) -> Result<Option<Page>, String> {
    let region = settings(Path::new(ENV_FILE)).remove("AWS_REGION");
    // Of S3 in AWS each bucket is an origin.
    let bucket = store.bucket.as_deref().zip(region);
    let bucket = bucket.map(|(bucket, region)| format!("https://{bucket}.s3.{region}.amazonaws.com"));
    // With a slash at its end it stands for all paths below it.
    let public = store.public_url.as_ref().map(|url| format!("{url}/"));
    let origin = public.or_else(|| store.endpoint.clone()).or(bucket);
    folder.map(|folder| Page::read(folder, origin.as_deref())).transpose()
}

/// The store that the functions of other processes use, when it is none of this process.
fn store_elsewhere() -> StoreSettings {
    let mut settings = settings(Path::new(ENV_FILE));
    let mut text = |name| settings.remove(name).filter(|text: &String| !text.is_empty());
    let (bucket, endpoint) = (text("UPLOADS_BUCKET"), text("S3_ENDPOINT"));
    StoreSettings { bucket, endpoint, keys: None, public_url: None }
}

/// Reads the template, and lets the pages of these origins use cookies, if there are any.
fn read_template(file: Option<PathBuf>, allowed_origins: &[String]) -> Result<Template, String> {
    let yaml = match &file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => template::BUILT_IN.to_owned(),
    };
    let mut template = Template::parse(&yaml).map_err(|error| error.to_string())?;
    template.allow_credentials(allowed_origins);
    Ok(template)
}

fn gateway(
    template: Template,
    functions: Arc<dyn Functions>,
    connections: Arc<Connections>,
    queues: Arc<Queues>,
) -> Result<Gateway, String> {
    let gateway = Gateway::new(template, functions, connections, queues, GatewayLimits::default());
    let gateway = gateway.map_err(|error| error.to_string())?;
    Ok(gateway.with_farewell(announce::server_restart))
}

/// Listens on loopback only, for what is for programs of this machine.
pub(crate) async fn listen_here(port: u16, setting: &str) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    listener.map_err(|error| cannot_listen(&error, port, setting))
}

/// Listens as the settings say. Another process may listen on the same port then; it is only allowed to be there already
/// if this one starts `beside` it.
pub(crate) async fn listen(server: &ServerSettings, beside: bool) -> Result<TcpListener, String> {
    let address = SocketAddr::new(server.listen, server.port);
    let listener = async {
        if !beside && server.port != 0 {
            // It fails when any other process listens.
            drop(TcpListener::bind(address).await?);
        }
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listener.await.map_err(|error| cannot_listen(&error, server.port, "PORT"))
}

fn cannot_listen(error: &std::io::Error, port: u16, setting: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("port {port} is in use: choose another, like {setting}={}", port.saturating_add(1))
        }
        _ => format!("cannot listen on port {port}: {error}"),
    }
}

/// The URL of the port, as programs of this machine reach it.
fn own_url(server: &ServerSettings, listener: &TcpListener) -> Result<String, String> {
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    Ok(match server.listen {
        address if address.is_loopback() || address.is_unspecified() => {
            format!("{scheme}://localhost:{port}")
        }
        address => format!("{scheme}://{}", SocketAddr::new(address, port)),
    })
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
