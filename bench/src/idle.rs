//! Sockets that are open and do nothing.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use crate::Result;
use crate::chat::{Chat, Socket};
use crate::server::memory;

/// How many sockets open at once.
const OPENING: usize = 64;
/// How long the server has to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(1);

/// Sockets of one user.
pub(crate) struct Idle {
    /// They stay open until this is dropped.
    pub(crate) sockets: Vec<Socket>,
    pub(crate) opened_per_second: f64,
    /// The memory that each costs the server, if its process is known.
    pub(crate) kb_per_socket: Option<f64>,
}

/// Opens sockets and leaves them open.
pub(crate) async fn open(chat: &Chat, count: usize, pid: Option<u32>) -> Result<Idle> {
    let person = chat.register().await?;
    let before = pid.map(memory).transpose()?;
    let start = Instant::now();
    let sockets = stream::iter(0..count).map(|_| chat.connect(&person.token)).buffer_unordered(OPENING);
    let sockets: Vec<Socket> = sockets.try_collect().await?;
    let opened_per_second = count as f64 / start.elapsed().as_secs_f64();
    sleep(REST).await;
    let after = pid.map(memory).transpose()?;
    let kb = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / count as f64);
    Ok(Idle { sockets, opened_per_second, kb_per_socket: kb })
}
