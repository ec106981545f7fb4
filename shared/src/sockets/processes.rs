//! Server processes: those that hold sockets on one machine. Each has an id, which stands in the rows of its
//! sockets, and holds a lock of that name (`GET_LOCK`) while it lives. The database frees the lock of a process
//! that was killed, as it closes its connections.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::base::db::{Db, places};
use crate::base::ids::ConnectionId;
use crate::base::tokens::random_token;
use crate::config::Database;
use crate::{Error, Result};

/// How often a process looks after its lock. A database that restarts forgets all locks.
const KEEPING: Duration = Duration::from_secs(1);
/// How long a lock must be free before its process counts as gone: one that lives has it again by then.
const GRACE: Duration = Duration::from_secs(3);

/// The process that this code runs in. It keeps its lock until it is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    id: String,
    keeper: JoinHandle<()>,
}

impl ServerProcess {
    /// Takes a lock with a new name, on a database connection of its own.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn start(database: impl Into<Database>) -> Result<Self> {
        let (id, db) = (random_token::<16>(), Db::new(database, 1));
        let lock = take(&db, &id).await?;
        let keeper = tokio::spawn(keep(db, id.clone(), lock));
        Ok(Self { id, keeper })
    }

    /// The process's id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn take(db: &Db, id: &str) -> Result<Conn> {
    let mut connection = db.connection().await?;
    let taken: Option<Option<u8>> = connection.exec_first("SELECT GET_LOCK(?, 0)", (id,)).await?;
    match taken.flatten() {
        Some(1) => Ok(connection),
        // A connection that broke unseen still has it, and ends some time.
        _ => Err(Error::internal("the lock of this process is taken")),
    }
}

/// Takes the lock again whenever its connection breaks.
async fn keep(db: Db, id: String, mut lock: Conn) {
    loop {
        while lock.ping().await.is_ok() {
            sleep(KEEPING).await;
        }
        // The pool has one connection, and this is it.
        drop(lock);
        lock = loop {
            match take(&db, &id).await {
                Ok(connection) => break connection,
                Err(_) => sleep(KEEPING).await,
            }
        };
    }
}

/// Ends the sockets of processes that are gone, and of no others. Returns them. Their rows stay until somebody
/// has done for each what `$disconnect` would have done.
///
/// # Errors
/// The database's.
pub async fn end_lost(db: &Db) -> Result<Vec<ConnectionId>> {
    let mut gone = without_lock(db).await?;
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    sleep(GRACE).await;
    let still = without_lock(db).await?;
    gone.retain(|process| still.contains(process));
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let places = places(gone.len());
    db.execute(
        &format!(
            "UPDATE connections SET expires_at = UTC_TIMESTAMP(3)
             WHERE process_id IN ({places}) AND expires_at > UTC_TIMESTAMP(3)"
        ),
        gone.clone(),
    )
    .await?;
    db.rows(&format!("SELECT connection_id FROM connections WHERE process_id IN ({places})"), gone).await
}

/// The processes with sockets that do not have their lock.
async fn without_lock(db: &Db) -> Result<Vec<String>> {
    db.rows(
        "SELECT process_id FROM (SELECT DISTINCT process_id FROM connections WHERE process_id IS NOT NULL) p
         WHERE IS_FREE_LOCK(process_id)",
        (),
    )
    .await
}
