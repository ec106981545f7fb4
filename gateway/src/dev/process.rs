//! A child process that ends with its run. A file stores its id and start time, in the format of
//! scripts/server. With these, the next run finds a process that a killed run left behind, and never ends
//! another one: by then the id alone may belong to another program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::terminal::PAUSE;

/// How long a process may take to end before it is killed.
const END: Duration = Duration::from_secs(20);

/// A child process.
pub(super) struct Process {
    child: Child,
    identity: Identity,
    pid_file: PathBuf,
}

impl Process {
    /// Starts the process in its own process group, so that Ctrl-C in a terminal does not reach it.
    pub(super) fn start(command: &mut Command, pid_file: PathBuf) -> Result<Self, String> {
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let child =
            child.map_err(|error| format!("cannot start {:?}: {error}", command.as_std().get_program()))?;
        let identity = child.id().and_then(Identity::of).ok_or("the process ended at once")?;
        fs::write(&pid_file, format!("{} {}\n", identity.id, identity.birth))
            .map_err(|error| format!("cannot write {}: {error}", pid_file.display()))?;
        Ok(Self { child, identity, pid_file })
    }

    /// Waits until the process has ended by itself.
    pub(super) async fn ended(&mut self) {
        _ = self.child.wait().await;
    }

    /// Ends the process, and waits until it has ended.
    pub(super) async fn end(mut self) -> Result<(), String> {
        self.identity.end().await?;
        self.ended().await;
        _ = fs::remove_file(self.pid_file);
        Ok(())
    }
}

/// Ends the process of this file, if it runs, and waits until it has ended.
pub(super) async fn end(pid_file: &Path) -> Result<(), String> {
    if let Some(identity) = fs::read_to_string(pid_file).ok().as_deref().and_then(Identity::parse) {
        identity.end().await?;
    }
    _ = fs::remove_file(pid_file);
    Ok(())
}

/// What identifies a process.
#[derive(PartialEq)]
struct Identity {
    id: u32,
    /// The start time, in clock ticks since boot.
    birth: String,
}

impl Identity {
    /// Returns the identity of a process, or `None` once it has ended (`proc_pid_stat(5)`).
    fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field is the program's name in parentheses, which may contain any characters.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let birth = fields.nth(18)?.to_owned();
        (state != "Z").then_some(Self { id, birth })
    }

    fn parse(text: &str) -> Option<Self> {
        let (id, birth) = text.trim().split_once(' ')?;
        Some(Self { id: id.parse().ok()?, birth: birth.to_owned() })
    }

    /// Ends the process, and waits until it has ended. If that takes too long, kills it.
    async fn end(&self) -> Result<(), String> {
        let (mut signal, mut next) = (Signal::TERM, Instant::now());
        while Self::of(self.id).as_ref() == Some(self) {
            if Instant::now() >= next {
                let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw).ok_or("no process id")?;
                if kill_process(pid, signal) == Err(Errno::PERM) {
                    return Err(format!(
                        "Process {pid} runs as another user. End it as that user, then start again."
                    ));
                }
                signal = Signal::KILL;
                next += END;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
