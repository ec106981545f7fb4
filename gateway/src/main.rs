//! `coterie`: the chat service on one machine.

mod client;
mod dev;
mod operator;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess, Remote};
use gateway::limits::Limits;
use gateway::management;
use gateway::store::Store;
use gateway::template::{self, Template};
use shared::config::{Config, Keys, Secret};
use shared::push::Push;
use shared::{App, migrations};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The file of settings, in the current folder.
const ENV_FILE: &str = ".env";
/// How many of the database's connections one process uses (MySQL allows 151 by default).
const DATABASE_CONNECTIONS: usize = 32;

/// A chat service as small functions: on this machine, with the routes and rules it has in AWS.
///
/// Settings come from the environment, or from `.env` in the current folder; `.env.example` lists
/// them. `scripts/dev` sets up everything that they need.
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
        /// A SAM template to take the routes from, instead of the built-in one.
        #[arg(long)]
        template: Option<PathBuf>,
        /// Run the functions behind this Lambda Invoke endpoint instead of in this process, like
        /// `http://127.0.0.1:9000` of `cargo lambda watch`.
        #[arg(long, value_name = "URL")]
        invoke: Option<String>,
        /// The loopback port of the @connections API through which such functions push; give them
        /// its address as `WS_MANAGEMENT_ENDPOINT`. 0 chooses a free one.
        #[arg(long, value_name = "PORT", default_value_t = 0, requires = "invoke")]
        management_port: u16,
        /// The loopback port of the store of files for such functions; give them its address as
        /// `S3_ENDPOINT`, and both the same `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Without it
        /// there is none.
        #[arg(long, value_name = "PORT", requires = "invoke")]
        store_port: Option<u16>,
        /// Where files are kept, unless `UPLOADS_BUCKET` names another store.
        #[arg(long, value_name = "FOLDER", default_value = ".local/uploads")]
        uploads: PathBuf,
    },
    /// Add missing secrets to .env, bring the schema up to date, and serve until Ctrl-C.
    ///
    /// `scripts/dev` builds and runs this. Unless they are set, `SIGNUP_GRANTS` is `open` and
    /// `REGISTER_LIMIT` is `0` here.
    Dev(dev::Options),
    /// Bring the database's schema up to date.
    Migrate,
    /// Make admins, and give coins and the prime flag, which only the operator may.
    Operator {
        #[command(subcommand)]
        command: operator::Command,
    },
    /// Open a WebSocket: lines typed are frames sent, frames received are lines printed.
    Connect {
        /// Where to connect.
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
    settings(Path::new(ENV_FILE))
        .remove("PORT")
        .filter(|port| !port.is_empty())
        .unwrap_or_else(|| "3000".to_owned())
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
    let command = Cli::parse().command;
    // `coterie dev` speaks as the scripts do.
    let name = if matches!(command, Command::Dev(_)) { "\nerror" } else { "coterie" };
    match run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Serve { template, invoke: None, uploads, .. } => {
            let config = config()?;
            let listener = listen(config.port, "PORT").await?;
            serve(config, listener, template, &uploads).await
        }
        Command::Serve { template, invoke: Some(endpoint), management_port, store_port, uploads } => {
            let management = listen(management_port, "--management-port").await?;
            let store = match store_port {
                Some(port) => Some(remote_store(port, &uploads).await?),
                None => None,
            };
            // The functions have the settings; of them only PORT is this process's.
            let port = port().parse().map_err(|_| "PORT must be a port, 0 to 65535".to_owned())?;
            let listener = listen(port, "PORT").await?;
            serve_remote(listener, template, &endpoint, management, store, stopped()?).await
        }
        Command::Dev(options) => dev::run(options).await,
        Command::Migrate => migrate(&config()?).await,
        Command::Operator { command } => operator::run(config()?, command).await,
        Command::Connect { url, token } => client::connect(url.trim_end_matches('/'), &token).await,
    }
}

/// The settings of the environment, and those of the file that it does not have.
fn settings(file: &Path) -> BTreeMap<String, String> {
    let from_file = dotenvy::from_path_iter(file).into_iter().flatten().flatten();
    from_file.chain(std::env::vars()).collect()
}

fn config() -> Result<Config, String> {
    Config::from(settings(Path::new(ENV_FILE))).map_err(|error| error.to_string())
}

/// Serves with the functions in this process.
async fn serve(
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
    let app = App::new(config, Push::Local(connections.clone()), DATABASE_CONNECTIONS);
    let (database, ending) = (app.db.clone(), app.clone());
    database.ping().await.map_err(unreachable_database)?;
    let gateway = gateway(template, Arc::new(InProcess::new(app)), connections)?;
    let stopped = stopped()?;
    announce(&listener)?;
    let stop = async move {
        stopped.await;
        ending.end_pauses();
    };
    gateway.serve(listener, stop).await.map_err(|error| error.to_string())?;
    database.disconnect().await.map_err(|error| error.to_string())
}

/// Serves with the functions behind a Lambda Invoke endpoint.
async fn serve_remote(
    listener: TcpListener,
    template: Option<PathBuf>,
    endpoint: &str,
    management: TcpListener,
    store: Option<Store>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let connections = Arc::new(Connections::default());
    let functions = Remote::new(endpoint).map_err(|error| format!("--invoke {error}"))?;
    let gateway = gateway(template, Arc::new(functions), connections.clone())?;
    let address = management.local_addr().map_err(|error| error.to_string())?;
    tracing::info!("functions behind {endpoint}; they push with WS_MANAGEMENT_ENDPOINT=http://{address}");
    if let Some(store) = store {
        let address = store.config().endpoint.unwrap_or_default();
        tracing::info!("they keep files with UPLOADS_BUCKET=uploads and S3_ENDPOINT={address}");
        tokio::spawn(store.serve());
    }
    announce(&listener)?;
    // The management API goes last: sockets that are being closed may still be posted to.
    let served = tokio::select! {
        served = gateway.serve(listener, stopped) => served,
        served = management::serve(connections, management) => served,
    };
    served.map_err(|error| error.to_string())
}

/// The store of files for functions behind an Invoke endpoint, which have its keys from the same settings.
async fn remote_store(port: u16, uploads: &Path) -> Result<Store, String> {
    let mut settings = settings(Path::new(ENV_FILE));
    let mut key =
        |name| settings.remove(name).filter(|key| !key.is_empty()).ok_or(format!("{name} must be set"));
    let keys = Keys { id: key("AWS_ACCESS_KEY_ID")?, secret: Secret::new(key("AWS_SECRET_ACCESS_KEY")?) };
    Store::new(uploads, listen(port, "--store-port").await?, keys)
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

/// Listens on loopback only: this is a development server, and its grants may be open.
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

async fn migrate(config: &Config) -> Result<(), String> {
    let applied = migrations::migrate(&config.database).await.map_err(unreachable_database)?;
    for migration in &applied {
        println!("applied {migration}");
    }
    if applied.is_empty() {
        println!("nothing to apply: the schema is up to date");
    }
    Ok(())
}

/// An operator may see the cause, which a client may not.
fn unreachable_database(error: shared::Error) -> String {
    match error {
        shared::Error::DatabaseUnavailable(cause) => {
            format!(
                "cannot use the database of DATABASE_URL: {cause}. `scripts/dev` starts one; else start it and check the URL"
            )
        }
        shared::Error::Internal(cause) => cause.to_string(),
        error => error.to_string(),
    }
}

/// Waits for Ctrl-C, or for the TERM of a service manager. From this call on, neither ends the process by
/// itself.
fn stopped() -> Result<impl Future<Output = ()> + Send + 'static, String> {
    let catch = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
