use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Person, Socket, TestApp};
use crate::binaries::binary;

const PATIENCE: Duration = Duration::from_secs(60);

/// A `coterie serve` on the database of a [`TestApp`].
pub struct Server {
    child: Child,
    pub port: u16,
    folder: PathBuf,
    /// The lines of its log since it serves.
    log: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Starts one on a free port, with these settings in addition.
    pub async fn start(app: &TestApp, settings: &[(&str, &str)]) -> Self {
        let started = Self::try_start(app, &[], settings).await;
        started.unwrap_or_else(|log| panic!("it does not serve:\n{log}"))
    }

    /// Starts one with these arguments and settings. An error is its log, if it ends.
    pub async fn try_start(
        app: &TestApp,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("coterie_test_{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let mut command = Command::new(binary("coterie"));
        command.arg("serve").args(arguments).current_dir(&folder).env_clear().envs(app.settings());
        command.env("PORT", "0").env("RUST_LOG", "info").envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = async {
            let mut log = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("://localhost:") {
                    let digits = address.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                    return Ok(digits.parse().unwrap());
                }
                log += &format!("{line}\n");
            }
            Err(log)
        };
        let port = timeout(PATIENCE, address).await.expect("it starts or ends")?;
        let (line, log) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(next)) = lines.next_line().await {
                _ = line.send(next);
            }
        });
        Ok(Self { child, port, folder, log })
    }

    /// A port that is free, for servers that are to have the same.
    pub async fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub async fn connect(&self, person: &Person) -> Socket {
        let url = format!("ws://127.0.0.1:{}/?token={}", self.port, person.access_token);
        Socket::connect(&url, Some(&person.user_id)).await.unwrap()
    }

    pub fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends a signal that ends it, and waits for the end.
    pub async fn signal(&mut self, signal: Signal) -> ExitStatus {
        self.send(signal);
        self.end().await
    }

    pub async fn end(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }

    /// The next line of its log that has one of these words, or `None` at its end.
    pub async fn line_with(&mut self, words: &[&str]) -> Option<String> {
        let found = async {
            loop {
                let line = self.log.recv().await?;
                if words.iter().any(|word| line.contains(word)) {
                    return Some(line);
                }
            }
        };
        timeout(PATIENCE, found).await.expect("it logs or ends")
    }

    /// What it warns of next, or `None` at its end.
    pub async fn warning(&mut self) -> Option<String> {
        self.line_with(&["WARN", "ERROR"]).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}
