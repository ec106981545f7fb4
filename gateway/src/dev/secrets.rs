//! The secrets that the first start creates.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::terminal::say;

const SECRETS: [&str; 2] = ["JWT_SECRET", "REFRESH_SECRET"];

/// Adds missing secrets to the file of settings: those that neither the file nor the environment has. The
/// rest of the file stays, and a process that is killed here leaves no partial file.
pub(super) fn add_missing(file: &Path) -> Result<(), String> {
    let cannot = |error| format!("cannot add secrets to {}: {error}", file.display());
    let mut text = match fs::read(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
        read => read.unwrap_or_default(),
    };
    let there: Vec<_> = dotenvy::from_read_iter(&*text).flatten().chain(std::env::vars()).collect();
    let is_set = |secret: &&str| there.iter().any(|(name, value)| name == secret && !value.is_empty());
    let missing: Vec<_> = SECRETS.into_iter().filter(|secret| !is_set(secret)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("Secrets: adding {} to {}", missing.join(" "), file.display()));
    // If the last line has no line break, the first secret would become a part of it.
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    for secret in missing {
        text.extend(format!("{secret}={:032x}{:032x}\n", random(), random()).into_bytes());
    }
    replace(file, &text).map_err(cannot)
}

fn random() -> u128 {
    rand::random()
}

/// Replaces a file's content atomically, readable only by its owner. A symbolic link to the file stays.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut target = file.to_owned();
    // The link's target may not exist yet. The links form no cycle, or the file could not have been read.
    while let Ok(next) = fs::read_link(&target) {
        target = target.with_file_name("").join(next);
    }
    let mut draft = target.clone().into_os_string();
    draft.push(format!(".{:08x}", rand::random::<u32>()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&draft)?.write_all(bytes)?;
    fs::rename(draft, target)
}
