//! The server that is measured, and what it and its database use of the machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Opts, Pool};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Result;
use crate::chat::PATIENCE;

/// Without caps on what is open, so that only the machine limits.
const SETTINGS: [(&str, &str); 8] = [
    ("JWT_SECRET", "a secret of the benchmark, of enough bytes"),
    ("REFRESH_SECRET", "another secret of the benchmark, of enough bytes"),
    ("SIGNUP_GRANTS", "open"),
    ("MAX_SOCKETS", "0"),
    ("MAX_ADDRESS_CONNECTIONS", "0"),
    ("MAX_CONNECTIONS", "0"),
    ("PORT", "0"),
    ("RUST_LOG", "info"),
];

/// The settings that turn every limit off.
fn no_limits() -> impl Iterator<Item = (&'static str, &'static str)> {
    let example = include_str!("../../.env.example").lines();
    let names = example.filter_map(|line| Some(line.strip_prefix('#')?.split_once('=')?.0));
    names.filter(|name| name.ends_with("_LIMIT")).map(|name| (name, "0"))
}

/// A running `coterie serve`.
pub(crate) struct Server {
    child: Child,
    /// Like `http://127.0.0.1:3000`.
    pub(crate) url: String,
    /// Where it keeps uploaded files.
    uploads: PathBuf,
}

impl Server {
    /// Brings the schema of an empty database up to date, and starts the program. Its warnings go to standard
    /// error.
    pub(crate) async fn start(program: &Path, database_url: &str, bcrypt_cost: u32) -> Result<Self> {
        let program = std::fs::canonicalize(program)?;
        let command = |subcommand: &str| {
            let mut command = Command::new(&program);
            // Where no `.env` is.
            command
                .arg(subcommand)
                .current_dir(std::env::temp_dir())
                .env_clear()
                .envs(SETTINGS)
                .envs(no_limits());
            command.env("DATABASE_URL", database_url).env("BCRYPT_COST", bcrypt_cost.to_string());
            command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
            command
        };
        let migrated = command("migrate").status().await?;
        if !migrated.success() {
            return Err(format!("coterie migrate ended with {migrated}").into());
        }
        let uploads = std::env::temp_dir().join(format!("coterie-bench-{}", std::process::id()));
        let mut child = command("serve").arg("--uploads").arg(&uploads).stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(child.stderr.take().ok_or("the server has no log")?).lines();
        let address = async {
            while let Some(line) = log.next_line().await? {
                if let Some((_, rest)) = line.split_once("serving http://localhost:") {
                    return Ok(format!("http://127.0.0.1:{}", rest.split(' ').next().unwrap_or_default()));
                }
            }
            Err::<_, crate::Error>("coterie serve ended during its start".into())
        };
        let url = timeout(PATIENCE, address).await.map_err(|_| "coterie serve did not start")??;
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                if line.contains("WARN") || line.contains("ERROR") {
                    eprintln!("{line}");
                }
            }
        });
        Ok(Self { child, url, uploads })
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        kill_process(pid.ok_or("coterie serve has ended before its time")?, Signal::TERM)?;
        let ended = timeout(PATIENCE, self.child.wait()).await??;
        if !ended.success() {
            return Err(format!("coterie serve ended with {ended}").into());
        }
        Ok(std::fs::remove_dir_all(&self.uploads)?)
    }
}

/// The database server.
pub(crate) struct Database {
    pub(crate) pool: Pool,
    pub(crate) pid: Option<u32>,
}

impl Database {
    pub(crate) fn new(url: &str, pid: Option<u32>) -> Result<Self> {
        Ok(Self { pool: Pool::new(Opts::from_url(url)?), pid })
    }

    /// How many statements its clients have executed so far.
    pub(crate) async fn statements(&self) -> Result<u64> {
        let mut connection = self.pool.get_conn().await?;
        let row: Option<(String, u64)> =
            connection.query_first("SHOW GLOBAL STATUS LIKE 'Questions'").await?;
        Ok(row.ok_or("the database does not count its statements")?.1)
    }
}

/// How many ticks a second has in `/proc`: `USER_HZ`, on every system that Rust knows as Linux.
const TICKS: f64 = 100.0;

/// The processor time that a process has used so far.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may contain anything. `utime` and `stime` are the fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ").ok_or("the system does not tell processor times")?;
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS))
}

/// The memory that a process has in use, in KB.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    Ok(kb.ok_or("the system does not tell the memory of a process")?)
}
