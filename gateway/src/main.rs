//! `coterie`: the chat service on one machine.

mod client;
mod errors;
mod operator;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use errors::unreachable_database;
use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess, Remote};
use gateway::limits::Limits;
use gateway::management;
use gateway::store::Store;
use gateway::template::{self, Template};
use shared::App;
use shared::base::migrations;
use shared::base::push::Push;
use shared::config::{Config, Keys};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// How many database connections the process uses (by default MySQL allows 151).
const DATABASE_CONNECTIONS: usize = 32;

/// Runs the chat service on this machine, with the same functions and routes as in AWS.
///
/// Settings come from the environment or from `.env` in the current folder. `.env.example` lists them.
/// `scripts/dev` sets up everything that the service needs.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP and WebSocket on PORT until Ctrl-C.
    Serve {
        /// Take the routes from this SAM template instead of the built-in one.
        #[arg(long)]
        template: Option<PathBuf>,
        /// Run the functions behind this Lambda Invoke endpoint instead of in this process. The endpoint
        /// of `cargo lambda watch` is `http://127.0.0.1:9000`.
        #[arg(long, value_name = "URL")]
        invoke: Option<String>,
        /// Serve the @connections API, through which those functions push, on this loopback port. Give
        /// them its address as `WS_MANAGEMENT_ENDPOINT`. 0 chooses a free port.
        #[arg(long, value_name = "PORT", default_value_t = 0, requires = "invoke")]
        management_port: u16,
        /// Serve an object store for those functions on this loopback port. Give them its address as
        /// `S3_ENDPOINT`, and set the same `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` for them and
        /// for this command. Without this option there is no object store.
        #[arg(long, value_name = "PORT", requires = "invoke")]
        store_port: Option<u16>,
        /// The folder that keeps the files, unless `UPLOADS_BUCKET` names a bucket elsewhere.
        #[arg(long, value_name = "FOLDER", default_value = ".local/uploads")]
        uploads: PathBuf,
    },
    /// Bring the database's schema up to date.
    Migrate,
    /// Appoint admins, and grant coins and the prime flag.
    Operator {
        #[command(subcommand)]
        command: operator::Command,
    },
    /// Open a WebSocket: send each typed line as a message, and print each message received.
    Connect {
        /// The URL to connect to.
        #[arg(long, default_value_t = default_url())]
        url: String,
        /// An access token, from register or login.
        #[arg(long)]
        token: String,
    },
}

fn default_url() -> String {
    format!("ws://localhost:{}", port())
}

fn port() -> String {
    settings().remove("PORT").filter(|port| !port.is_empty()).unwrap_or_else(|| "3000".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| EnvFilter::new("info,refinery_core=warn,s3s=off")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match Cli::parse().command {
        Command::Serve { template, invoke: None, uploads, .. } => serve(template, &uploads).await,
        Command::Serve { template, invoke: Some(endpoint), management_port, store_port, uploads } => {
            let store = store_port.map(|port| (port, uploads));
            serve_remote(template, &endpoint, management_port, store).await
        }
        Command::Migrate => migrate().await,
        Command::Operator { command } => match config() {
            Ok(config) => operator::run(config, command).await,
            Err(error) => Err(error),
        },
        Command::Connect { url, token } => client::connect(url.trim_end_matches('/'), &token).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coterie: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The variables of `.env`, and those of the environment, which take precedence.
fn settings() -> BTreeMap<String, String> {
    let from_file = dotenvy::dotenv_iter().into_iter().flatten().flatten();
    from_file.chain(std::env::vars()).collect()
}

fn config() -> Result<Config, String> {
    Config::from(settings()).map_err(|error| error.to_string())
}

/// Serves with the functions in this process.
async fn serve(template: Option<PathBuf>, uploads: &Path) -> Result<(), String> {
    let mut config = config()?;
    if config.store.bucket.is_none() {
        let store = Store::new(uploads, listen(0, "PORT").await?, Store::random_keys())?;
        config.store = store.config();
        tokio::spawn(store.serve());
    }
    let port = config.port;
    let connections = Arc::new(Connections::default());
    let app = App::new(config, Push::Local(connections.clone()), DATABASE_CONNECTIONS);
    let (database, ending) = (app.db.clone(), app.clone());
    database.ping().await.map_err(unreachable_database)?;
    let gateway = gateway(template, Arc::new(InProcess::new(app)), connections)?;
    let listener = listen(port, "PORT").await?;
    announce(&listener)?;
    let stop = async move {
        stopped().await;
        ending.end_pauses();
    };
    gateway.serve(listener, stop).await.map_err(|error| error.to_string())?;
    database.disconnect().await.map_err(|error| error.to_string())
}

/// Serves with the functions behind a Lambda Invoke endpoint. The functions have their own settings, so
/// this process needs only PORT.
async fn serve_remote(
    template: Option<PathBuf>,
    endpoint: &str,
    management_port: u16,
    store: Option<(u16, PathBuf)>,
) -> Result<(), String> {
    let port = port().parse().map_err(|_| "PORT must be a port, 0 to 65535".to_owned())?;
    let connections = Arc::new(Connections::default());
    let functions = Remote::new(endpoint).map_err(|error| format!("--invoke {error}"))?;
    let gateway = gateway(template, Arc::new(functions), connections.clone())?;
    let management = listen(management_port, "--management-port").await?;
    let address = management.local_addr().map_err(|error| error.to_string())?;
    tracing::info!("functions behind {endpoint}; they push with WS_MANAGEMENT_ENDPOINT=http://{address}");
    if let Some((store_port, uploads)) = store {
        let key =
            |name| settings().remove(name).filter(|key| !key.is_empty()).ok_or(format!("{name} must be set"));
        let keys = Keys { id: key("AWS_ACCESS_KEY_ID")?, secret: key("AWS_SECRET_ACCESS_KEY")?.into() };
        let store = Store::new(&uploads, listen(store_port, "--store-port").await?, keys)?;
        let address = store.config().endpoint.unwrap_or_default();
        tracing::info!("they keep files with UPLOADS_BUCKET=uploads and S3_ENDPOINT={address}");
        tokio::spawn(store.serve());
    }
    let listener = listen(port, "PORT").await?;
    announce(&listener)?;
    // The management API stops last, so that functions can post to sockets that are closing.
    let served = tokio::select! {
        served = gateway.serve(listener, stopped()) => served,
        served = management::serve(connections, management) => served,
    };
    served.map_err(|error| error.to_string())
}

fn gateway(
    template: Option<PathBuf>,
    functions: Arc<dyn Functions>,
    connections: Arc<Connections>,
) -> Result<Gateway, String> {
    let yaml = match &template {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => template::BUILT_IN.to_owned(),
    };
    let template = Template::parse(&yaml).map_err(|error| error.to_string())?;
    Gateway::new(template, functions, connections, Limits::default()).map_err(|error| error.to_string())
}

/// Listens on loopback only, because this is a development server whose grants may be open.
async fn listen(port: u16, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("port {port} is in use: choose another, like {setting}={}", port.saturating_add(1))
        }
        _ => format!("cannot listen on port {port}: {error}"),
    })
}

fn announce(listener: &TcpListener) -> Result<(), String> {
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    tracing::info!("serving http://localhost:{port} and ws://localhost:{port}");
    Ok(())
}

async fn migrate() -> Result<(), String> {
    let applied = migrations::migrate(&config()?.database).await.map_err(unreachable_database)?;
    for migration in &applied {
        println!("applied {migration}");
    }
    if applied.is_empty() {
        println!("nothing to apply: the schema is up to date");
    }
    Ok(())
}

/// Completes on Ctrl-C or on the SIGTERM of a service manager.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
