//! Sockets of Socket.IO between their handshake and their CONNECT packet (`docs/contract.md`, "Socket.IO"). Such a socket is
//! nobody's: it counts for no user and gets no push. Its row is deleted by whichever comes first: the packet, the
//! socket's end, or the job that closes it when its time is over. The sweep erases what a server that was killed has
//! left.

use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::base::db::Db;
use crate::base::ids::ConnectionId;
use crate::base::jobs::Queue;
use crate::base::push::NotDelivered;
use crate::base::rate_limit::{self, Limited};
use crate::base::transaction::Transaction;
use crate::sockets::socket_io::{Heartbeat, open};
use crate::{App, Error, Result};

/// How long a socket may wait for its CONNECT packet, in seconds.
pub const SECONDS: u32 = 10;
/// How often the open packet is posted to a socket whose handshake is still under way, a second apart.
const MOST_TRIES: u32 = 4;

/// A job that concerns a socket whose handshake was accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandshakeJob {
    /// The socket.
    pub handshake: ConnectionId,
    /// What is to be done.
    pub step: Step,
}

/// What is done with a socket after its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Send the open packet, which API Gateway cannot while `$connect` runs. The number counts how often that was tried.
    Open(u32),
    /// Close it, unless its CONNECT packet has come.
    Close,
}

/// A handshake that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The client's address.
    pub address: String,
    /// The session of its credentials, if it had any.
    pub session_id: Option<String>,
}

impl Handshake {
    /// With credentials it counts for their session, so that nobody else at the address can use the limit up.
    fn limited(&self) -> Limited<'_> {
        Limited::Handshake(self.session_id.as_deref().unwrap_or(&self.address))
    }
}

/// Accepts a handshake: stores the socket, and sees to its open packet and its end.
///
/// # Errors
/// [`Error::RateLimited`] after `HANDSHAKE_LIMIT`, and [`Error::Overloaded`] when the queue takes no job.
pub async fn accept(app: &App, connection_id: &ConnectionId, handshake: &Handshake) -> Result<()> {
    rate_limit::count(&app.db, &app.config.limits, handshake.limited()).await?;
    let prepared = prepare(app, connection_id, handshake).await;
    if prepared.is_err()
        && let Err(error) = end(&app.db, connection_id).await
    {
        error.log();
    }
    prepared
}

async fn prepare(app: &App, connection_id: &ConnectionId, handshake: &Handshake) -> Result<()> {
    // When a connection to the database breaks, the row may be there already.
    let sql = "INSERT INTO handshakes (connection_id, address, session_id, created_at)
               VALUES (?, ?, ?, UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE connection_id = connection_id";
    app.db.execute(sql, (connection_id, &handshake.address, &handshake.session_id)).await?;
    queue(app, connection_id, Step::Close, SECONDS).await?;
    match app.push.post_when_open(connection_id, open(connection_id, Heartbeat::LOCAL)) {
        true => Ok(()),
        false => queue(app, connection_id, Step::Open(1), 0).await,
    }
}

async fn queue(app: &App, connection_id: &ConnectionId, step: Step, delay: u32) -> Result<()> {
    let job = HandshakeJob { handshake: connection_id.clone(), step };
    let job = serde_json::to_string(&job).map_err(Error::internal)?;
    match app.jobs.send_later(Queue::Presence, vec![job], delay).await.is_empty() {
        true => Ok(()),
        false => Err(Error::Overloaded { retry_after: 2 }),
    }
}

/// Does a job. It may be done twice: a client passes over a second open packet, and a socket is closed once.
///
/// # Errors
/// The database's, the queue's, and [`Error::Overloaded`] when a socket could not be closed: then the queue delivers the job
/// again.
pub async fn go_on(app: &App, HandshakeJob { handshake, step }: HandshakeJob) -> Result<()> {
    match step {
        Step::Open(tries) => {
            app.push.prepare().await;
            let posted = app.push.post(&handshake, open(&handshake, Heartbeat::NONE)).await;
            // `$connect` may not have returned yet, so it is tried again unless the client has left.
            match posted.is_err() && tries < MOST_TRIES && waiting(&app.db, &handshake).await?.is_some() {
                true => queue(app, &handshake, Step::Open(tries + 1), 1).await,
                false => Ok(()),
            }
        }
        Step::Close => {
            // From now on the socket cannot become a user's any more. Whoever deleted the row before may not have closed it.
            end(&app.db, &handshake).await?;
            let sql = "SELECT 1 FROM connections WHERE connection_id = ?";
            let has_user: Option<u8> = app.db.first(sql, (&handshake,)).await?;
            if has_user.is_some() {
                return Ok(());
            }
            match app.push.close(&handshake).await {
                Ok(()) | Err(NotDelivered::Gone) => Ok(()),
                Err(NotDelivered::Throttled | NotDelivered::Failed) => {
                    Err(Error::Overloaded { retry_after: 2 })
                }
            }
        }
    }
}

/// Returns the handshake of a socket that still has time for its CONNECT packet.
///
/// # Errors
/// The database's.
pub async fn waiting(db: &Db, connection_id: &ConnectionId) -> Result<Option<Handshake>> {
    let row: Option<(String, Option<String>)> = db
        .first(
            "SELECT address, session_id FROM handshakes
             WHERE connection_id = ? AND created_at > UTC_TIMESTAMP(3) - INTERVAL ? SECOND",
            (connection_id, SECONDS),
        )
        .await?;
    Ok(row.map(|(address, session_id)| Handshake { address, session_id }))
}

/// Takes a handshake back that was counted: its client has said who it is.
///
/// # Errors
/// The database's.
pub async fn give_back(app: &App, handshake: &Handshake) -> Result<()> {
    rate_limit::give_back(&app.db, &app.config.limits, handshake.limited()).await
}

/// Ends the wait of a socket. Returns whether it has waited until now.
///
/// # Errors
/// The database's.
pub async fn end(db: &Db, connection_id: &ConnectionId) -> Result<bool> {
    let ended = db.execute("DELETE FROM handshakes WHERE connection_id = ?", (connection_id,)).await?;
    Ok(ended.affected_rows == 1)
}

/// Ends the wait of a socket in the transaction in which it becomes a user's. Returns whether it has waited until now, and
/// still had time.
///
/// # Errors
/// The database's.
pub(crate) async fn finish(transaction: &mut Transaction, connection_id: &ConnectionId) -> Result<bool> {
    transaction
        .exec_drop(
            "DELETE FROM handshakes
             WHERE connection_id = ? AND created_at > UTC_TIMESTAMP(3) - INTERVAL ? SECOND",
            (connection_id, SECONDS),
        )
        .await?;
    Ok(transaction.affected_rows() == 1)
}
