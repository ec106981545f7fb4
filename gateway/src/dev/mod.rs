//! `coterie dev`: given a database server, it makes what is missing, serves, and prints a session to copy.
//! `scripts/dev` builds and runs it.

mod lambda;
mod process;
mod secrets;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use shared::config::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::{ENV_FILE, listen, migrate, serve, settings};

/// The script with the session to copy, which begins below the line `# ---`.
const SESSION: &str = include_str!("../../../scripts/session");
/// How long a server may take to answer for the first time.
const START: Duration = Duration::from_secs(30);
/// The pause between two checks of something that happens in another process.
const PAUSE: Duration = Duration::from_millis(50);
/// The defaults of this command, for settings that are absent.
const DEFAULTS: [(&str, &str); 2] = [("SIGNUP_GRANTS", "open"), ("REGISTER_LIMIT", "0")];

#[derive(Args)]
pub(crate) struct Options {
    /// Run each function as processes of its own, under `cargo lambda watch`.
    #[arg(long)]
    lambda: bool,
    /// Do not rebuild the functions when their code changes.
    #[arg(long, requires = "lambda")]
    ignore_changes: bool,
    /// The folder for the log and the process id of `cargo lambda watch`.
    #[arg(long, value_name = "FOLDER", default_value = ".local/lambda")]
    folder: PathBuf,
    /// Where files are kept, unless `UPLOADS_BUCKET` names another store.
    #[arg(long, value_name = "FOLDER", default_value = ".local/uploads")]
    uploads: PathBuf,
    /// The file of settings. The environment wins over it; missing secrets are added to it.
    #[arg(long, value_name = "FILE", default_value = ENV_FILE)]
    env_file: PathBuf,
    /// Only check that the settings name a database.
    #[arg(long, hide = true)]
    has_database: bool,
}

/// Adds missing secrets, brings the schema up to date, and serves until Ctrl-C.
///
/// # Errors
/// What to tell the user.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    if options.has_database {
        let settings = settings(&options.env_file);
        let is_set = |name| settings.get(name).is_some_and(|value: &String| !value.is_empty());
        let named = is_set("DATABASE_URL") || is_set("DB_HOST");
        return if named { Ok(()) } else { Err("Neither DATABASE_URL nor DB_HOST is set.".to_owned()) };
    }
    process::end(&lambda::pid_file(&options.folder)).await?;
    secrets::add_missing(&options.env_file)?;
    let mut settings = settings(&options.env_file);
    for (name, value) in DEFAULTS {
        let setting = settings.entry(name.to_owned()).or_default();
        if setting.is_empty() {
            value.clone_into(setting);
        }
    }
    let config = Config::from(settings.clone()).map_err(|error| error.to_string())?;
    let port = config.port;
    if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        return Err(format!(
            "Port {port} is in use by another program. Choose another: PORT={} scripts/dev",
            port.saturating_add(1)
        ));
    }

    say("Migrating the database");
    migrate(&config).await?;
    if options.lambda {
        return lambda::run(&options, settings, port).await;
    }
    say("Serving");
    let listener = listen(port, "PORT").await?;
    let greeted = greet(port_of(&listener)?);
    tokio::select! {
        served = serve(config, listener, None, &options.uploads) => served,
        Err(error) = greeted => Err(error),
    }
}

/// Announces a step, as the scripts do.
fn say(step: &str) {
    println!("==> {step}");
}

fn port_of(listener: &TcpListener) -> Result<u16, String> {
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// Waits until the server is healthy, and prints the session to copy.
async fn greet(port: u16) -> Result<(), String> {
    let url = format!("http://127.0.0.1:{port}/health");
    let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let healthy = async {
        while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            sleep(PAUSE).await;
        }
    };
    timeout(START, healthy).await.map_err(|_| {
        format!(
            "The server does not answer GET {url} after {} seconds. Its lines above may say why.",
            START.as_secs()
        )
    })?;
    let quoted = |path: std::io::Result<PathBuf>| {
        let path = path.map_err(|error| error.to_string())?.display().to_string();
        shlex::try_quote(&path).map(std::borrow::Cow::into_owned).map_err(|error| error.to_string())
    };
    let (folder, coterie) = (quoted(std::env::current_dir())?, quoted(std::env::current_exe())?);
    let session = SESSION.split_once("\n# ---\n").map_or(SESSION, |(_, session)| session);
    println!(
        "
Coterie answers on http://localhost:{port} and ws://localhost:{port}

Two people who talk, to paste into another terminal:

cd {folder}
export PORT={port}
COTERIE={coterie}
{session}
Ctrl-C here stops it."
    );
    Ok(())
}
