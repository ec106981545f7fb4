//! `coterie`: the chat service on one machine.

mod client;
mod dev;
mod errors;
mod operator;
mod serve;
mod settings;
mod verify;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::serve::{listen, listen_here, migrate, remote_store, serve, serve_remote, stopped};
use crate::settings::{config, log_format, port};

/// A process that serves for long, with many small allocations on several threads, spends less time in this allocator
/// than in the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        /// Serve the @connections API, through which those functions push, on this loopback port, and an SQS
        /// endpoint for their jobs beside it. Give them its address as `WS_MANAGEMENT_ENDPOINT`, and the URLs
        /// of the queues as the log shows them. 0 chooses a free port.
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
        /// Serve the built page in this folder at `/` too, such as `web/dist`.
        #[arg(long, value_name = "FOLDER")]
        web: Option<PathBuf>,
        /// Start although another `coterie serve` listens on PORT: both serve until the other one stops. So a server
        /// is replaced without a moment in which nobody serves.
        #[arg(long, conflicts_with = "invoke")]
        beside: bool,
    },
    /// Add missing secrets to .env, bring the schema up to date, and serve until Ctrl-C.
    ///
    /// `scripts/dev` builds and runs this. Unless they are set, `SIGNUP_GRANTS` is `open` and
    /// `REGISTER_LIMIT` is `0` here.
    Dev(dev::Options),
    /// Bring the database's schema up to date.
    Migrate,
    /// Check that everything that is stored fits together: coins, seats, numbers, counts and files.
    ///
    /// It changes nothing, and may run beside a server. It prints what is wrong, each on a line, and exits with 1 then.
    Verify {
        /// The folder that keeps the files, unless `UPLOADS_BUCKET` names a bucket elsewhere.
        #[arg(long, value_name = "FOLDER", default_value = ".local/uploads")]
        uploads: PathBuf,
    },
    /// Appoint admins, and grant coins and the prime flag.
    Operator {
        #[command(subcommand)]
        command: operator::OperatorArguments,
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

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if let Err(error) = begin_log() {
        eprintln!("coterie: {error}");
        return ExitCode::FAILURE;
    }
    // `coterie dev` reports errors as the scripts do.
    let name = if matches!(command, Command::Dev(_)) { "\nerror" } else { "coterie" };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(command));
    // Does not wait for threads that hash a password or look up a name.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error, as `RUST_LOG` and `LOG_FORMAT` say.
fn begin_log() -> Result<(), String> {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info,refinery_core=warn,s3s=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log_format().as_str() {
        "text" => log.with_ansi(std::io::stderr().is_terminal()).init(),
        "json" => log.json().flatten_event(true).with_span_list(false).init(),
        _ => return Err("LOG_FORMAT must be `text` or `json`".to_owned()),
    }
    Ok(())
}

async fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Serve { template, invoke: None, uploads, web, beside, .. } => {
            let config = config()?;
            let listener = listen(&config.server, beside).await?;
            serve(config, listener, template, &uploads, web.as_deref()).await
        }
        Command::Serve {
            template,
            invoke: Some(endpoint),
            management_port,
            store_port,
            uploads,
            web,
            ..
        } => {
            let management = listen_here(management_port, "--management-port").await?;
            let store = match store_port {
                Some(port) => Some(remote_store(port, &uploads).await?),
                None => None,
            };
            // The functions have the settings; of them only PORT, those of connections and ALLOWED_ORIGINS are this
            // process's.
            let port = port().parse().map_err(|_| "PORT must be a port, 0 to 65535".to_owned())?;
            let listener = listen_here(port, "PORT").await?;
            serve_remote(listener, template, &endpoint, management, store, web.as_deref(), stopped()?).await
        }
        Command::Dev(options) => dev::run(options).await,
        Command::Migrate => migrate(&config()?).await,
        Command::Verify { uploads } => verify::verify(config()?, &uploads).await,
        Command::Operator { command } => operator::run(config()?, command).await,
        Command::Connect { url, token } => client::connect(url.trim_end_matches('/'), &token).await,
    }
}
