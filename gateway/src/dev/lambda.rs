//! `coterie dev --lambda`: runs the functions as separate processes under `cargo lambda watch`, behind the
//! gateway.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use gateway::sqs::queue_url;
use gateway::store::Store;
use secrecy::ExposeSecret;
use shared::base::jobs::Queue;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::options::Options;
use super::process::Process;
use super::terminal::{PAUSE, START, greet, port_of, say};
use crate::serve::{listen_here, serve_remote, stopped};

/// How long the first answers may take. While changes count, each process starts with a `cargo run`, and these wait for
/// each other.
const WARM_UP: Duration = Duration::from_secs(300);
/// Starts functions that are built.
const AS_BUILT: &str = "scripts/cargo-as-built";
/// How many of a log's last lines an error message shows.
const LINES: usize = 15;

pub(super) fn pid_file(folder: &Path) -> PathBuf {
    folder.join("watch.pid")
}

/// Serves until Ctrl-C. Then it stops the gateway, which closes its sockets and notifies the functions of
/// that, and after it the functions.
pub(super) async fn run(
    options: &Options,
    settings: BTreeMap<String, String>,
    port: u16,
) -> Result<(), String> {
    let log = options.folder.join("watch.log");
    say(&format!("Building and starting the functions: cargo lambda watch (its log is {})", log.display()));
    let (invoke_port, management) = (free_port().await, listen_here(0, "PORT").await?);
    let mut command = Command::new("cargo-lambda");
    command.args(["lambda", "watch", "--invoke-address", "127.0.0.1", "--concurrency", "2", "--invoke-port"]);
    command.arg(invoke_port.to_string()).args(options.ignore_changes.then_some("--ignore-changes"));
    if options.ignore_changes {
        // What cargo-lambda runs functions with. Under `cargo lambda` it would be cargo itself.
        command.env("CARGO", AS_BUILT);
    }
    command.envs(&settings);
    let origin = format!("http://127.0.0.1:{}", port_of(&management)?);
    command.envs(Queue::ALL.map(|queue| (queue.setting(), queue_url(&origin, queue))));
    command.env("WS_MANAGEMENT_ENDPOINT", origin);
    // A store named by `UPLOADS_BUCKET` has its own credentials and region.
    let another = settings.get("UPLOADS_BUCKET").is_some_and(|bucket| !bucket.is_empty());
    let store = if another { None } else { Some(own_store(options, &mut command).await?) };
    log_to(&log, &mut command).map_err(|error| format!("cannot write {}: {error}", log.display()))?;

    let with_log = |why| format!("{why} The last lines of {}:\n{}", log.display(), last_lines(&log));
    let stopped = stopped()?.shared();
    let mut watch = Process::start(&mut command, pid_file(&options.folder))?;
    let endpoint = format!("http://127.0.0.1:{invoke_port}");
    let starts = async {
        listens(invoke_port).await?;
        warm_up(&endpoint).await
    };
    let serves = async {
        tokio::select! {
            started = starts => started.map_err(with_log)?,
            () = stopped.clone() => return Ok(()),
        }
        let listener = listen_here(port, "PORT").await?;
        let greeted = greet(port_of(&listener)?, options.page().is_some());
        tokio::select! {
            served = serve_remote(listener, None, &endpoint, management, store, options.page(), stopped) => served,
            Err(error) = greeted => Err(error),
        }
    };
    let served = tokio::select! {
        served = serves => served,
        () = watch.ended() => Err(with_log("'cargo lambda watch' ended by itself.".to_owned())),
    };
    served.and(watch.end().await)
}

/// Makes a file store in this process, and passes its settings to the functions.
async fn own_store(options: &Options, functions: &mut Command) -> Result<Store, String> {
    let keys = Store::random_keys();
    // The functions also sign pushes with these keys, which the gateway does not check. Without the last
    // setting, the AWS SDK might request credentials from an address outside this machine.
    functions.env("AWS_ACCESS_KEY_ID", &keys.id).env("AWS_SECRET_ACCESS_KEY", keys.secret.expose_secret());
    functions.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
    let store = Store::new(&options.uploads, listen_here(0, "PORT").await?, keys)?;
    let config = store.config();
    functions.envs(config.bucket.map(|bucket| ("UPLOADS_BUCKET", bucket)));
    functions.envs(config.endpoint.map(|endpoint| ("S3_ENDPOINT", endpoint)));
    Ok(store)
}

fn log_to(log: &Path, command: &mut Command) -> io::Result<()> {
    fs::create_dir_all(log.with_file_name(""))?;
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
    Ok(())
}

/// Returns a free loopback port, below the range that the system uses for outgoing connections.
async fn free_port() -> u16 {
    loop {
        let port = rand::random_range(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

async fn listens(port: u16) -> Result<(), String> {
    let listening = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(PAUSE).await;
        }
    };
    timeout(START, listening)
        .await
        .map_err(|_| format!("'cargo lambda watch' does not listen on port {port}."))
}

/// Starts every function's processes by sending an invalid event. Otherwise they would start with the first
/// call and make it slow. Two functions would do their work even then, so they start with their first call.
async fn warm_up(endpoint: &str) -> Result<(), String> {
    say("Starting the functions, two processes each: up to a minute");
    let http = reqwest::Client::builder().no_proxy().timeout(WARM_UP).build();
    let http = http.map_err(|error| error.to_string())?;
    let functions = functions::catalogue().into_keys().filter(|name| !["migrate", "sweep"].contains(name));
    let calls = functions.map(|name| {
        let url = format!("{endpoint}/2015-03-31/functions/{name}/invocations");
        http.post(url).body("{}").send()
    });
    let answers = try_join_all(calls).await;
    answers.map(drop).map_err(|error| match error.is_timeout() {
        true => "A function did not start within five minutes.".to_owned(),
        false => format!("A function could not be started: {error}"),
    })
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
