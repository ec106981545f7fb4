//! What `coterie dev` prints, and how it waits for the server to start.

use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// The script of the session to copy. The session follows a line with `# ---`.
const SESSION: &str = include_str!("../../../scripts/session");
/// How long a server may take to answer.
pub(super) const START: Duration = Duration::from_secs(30);
/// The pause between two polls of something outside this process.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Prints the name of a step, in the format of the scripts.
pub(super) fn say(step: &str) {
    println!("==> {step}");
}

pub(super) fn port_of(listener: &TcpListener) -> Result<u16, String> {
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// Waits until the server is healthy, and prints the session to copy.
pub(super) async fn greet(port: u16, has_page: bool) -> Result<(), String> {
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
    let page = if has_page { format!("\nThe chat page: http://localhost:{port}/") } else { String::new() };
    println!(
        "
Coterie answers on http://localhost:{port} and ws://localhost:{port}{page}

Two people who talk, to paste into another terminal:

cd {folder}
export PORT={port}
COTERIE={coterie}
{session}
Ctrl-C here stops it."
    );
    Ok(())
}
