//! `coterie`: the chat service on one machine.

mod client;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::InProcess;
use gateway::limits::Limits;
use gateway::template::{self, Template};
use shared::config::Config;
use shared::push::Push;
use shared::{App, migrations};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

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
    },
    /// Bring the database's schema up to date.
    Migrate,
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
    let port = settings().remove("PORT").unwrap_or_else(|| "3000".to_owned());
    format!("ws://localhost:{port}")
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,refinery_core=warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    let done = match Cli::parse().command {
        Command::Serve { template } => serve(template).await,
        Command::Migrate => migrate().await,
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

/// The environment, and `.env` for what it leaves open.
fn settings() -> BTreeMap<String, String> {
    let from_file = dotenvy::dotenv_iter().into_iter().flatten().flatten();
    from_file.chain(std::env::vars()).collect()
}

fn config() -> Result<Config, String> {
    Config::from(settings()).map_err(|error| error.to_string())
}

async fn serve(template: Option<PathBuf>) -> Result<(), String> {
    let config = config()?;
    let port = config.port;
    let yaml = match &template {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => template::BUILT_IN.to_owned(),
    };
    let template = Template::parse(&yaml).map_err(|error| error.to_string())?;

    let connections = Arc::new(Connections::default());
    let app = App::new(config, Push::Local(connections.clone()), DATABASE_CONNECTIONS);
    let database = app.db.clone();
    database.ping().await.map_err(unreachable_database)?;
    let functions = Arc::new(InProcess::new(app));
    let gateway = Gateway::new(template, functions, connections, Limits::default())
        .map_err(|error| error.to_string())?;

    // Loopback only: this is a development server, and its grants may be open.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("port {port} is in use: choose another, like PORT={}", port.saturating_add(1))
        }
        _ => format!("cannot listen on port {port}: {error}"),
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tracing::info!("serving http://localhost:{0} and ws://localhost:{0}", address.port());
    gateway.serve(listener, stopped()).await.map_err(|error| error.to_string())?;
    database.disconnect().await.map_err(|error| error.to_string())
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

/// Ctrl-C, or the TERM of a service manager.
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
