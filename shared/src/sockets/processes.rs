//! Server processes: those that hold sockets on one machine. Each has an id, which stands in the rows of its
//! sockets, and holds a lock of that name (`GET_LOCK`) while it lives. The database frees the lock of a process
//! that was killed, as it closes its connections.
//!
//! Several processes may serve over one database, as while a server is replaced (`docs/contract.md`, "Several
//! processes"). Each has a row that says where it takes posts to its sockets from the others.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::base::db::{Db, places};
use crate::base::ids::ConnectionId;
use crate::base::push::Peer;
use crate::base::time;
use crate::base::tokens::random_token;
use crate::config::Database;
use crate::{Error, Result};

/// How many sockets one statement looks for.
const MOST_AT_ONCE: usize = 1000;
/// How often a process looks after its lock. A database that restarts forgets all locks.
const KEEPING: Duration = Duration::from_secs(1);
/// How long a lock must be free before its process counts as gone: one that lives has it again by then.
const GRACE: Duration = Duration::from_secs(3);

/// The process that this code runs in. It keeps its lock until it is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    id: String,
    key: String,
    keeper: JoinHandle<()>,
}

/// What the others find of a process.
#[derive(Clone, Debug)]
struct Own {
    id: String,
    address: SocketAddr,
    key: String,
}

impl ServerProcess {
    /// Takes a lock with a new name, on a database connection of its own, and tells the others where this process takes
    /// posts.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn start(database: impl Into<Database>, address: SocketAddr) -> Result<Self> {
        let own = Own { id: random_token::<16>(), address, key: random_token::<32>() };
        let (Own { id, key, .. }, db) = (own.clone(), Db::new(database, 1));
        let lock = take(&db, &own).await?;
        let keeper = tokio::spawn(keep(db, own, lock));
        Ok(Self { id, key, keeper })
    }

    /// The process's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this is the key that the others find.
    pub fn accepts(&self, key: &[u8]) -> bool {
        verify_slices_are_equal(self.key.as_bytes(), key).is_ok()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn take(db: &Db, Own { id, address, key }: &Own) -> Result<Conn> {
    let mut connection = db.connection().await?;
    let taken: Option<Option<u8>> = connection.exec_first("SELECT GET_LOCK(?, 0)", (id,)).await?;
    if taken.flatten() != Some(1) {
        // A connection that broke unseen still has it, and ends some time.
        return Err(Error::internal("the lock of this process is taken"));
    }
    // Another process may have taken this one for gone meanwhile.
    let row = "INSERT INTO server_processes (process_id, address, post_key, started_at) VALUES (?, ?, ?, ?)
               ON DUPLICATE KEY UPDATE address = address";
    connection.exec_drop(row, (id, address.to_string(), key, time::now())).await?;
    Ok(connection)
}

/// Deletes the row of a process that ends.
///
/// # Errors
/// The database's.
pub async fn forget(db: &Db, process_id: &str) -> Result<()> {
    db.execute("DELETE FROM server_processes WHERE process_id = ?", (process_id,)).await.map(drop)
}

/// A socket, and of the process that holds it the id, the address and the key, if it has a row.
type Holder = (ConnectionId, Option<String>, Option<String>, Option<String>);

/// Returns those of these sockets that other processes hold, each with its process; `None` for one of an older version,
/// which takes no posts.
///
/// # Errors
/// The database's.
pub(crate) async fn elsewhere(
    db: &Db,
    own_id: &str,
    sockets: &[ConnectionId],
) -> Result<Vec<(ConnectionId, Option<Peer>)>> {
    let mut found = Vec::new();
    for sockets in sockets.chunks(MOST_AT_ONCE) {
        let sql = format!(
            "SELECT c.connection_id, p.process_id, p.address, p.post_key
             FROM connections c FORCE INDEX (PRIMARY)
             LEFT JOIN server_processes p FORCE INDEX (PRIMARY) ON p.process_id = c.process_id
             WHERE c.connection_id IN ({}) AND c.process_id <> ?",
            places(sockets.len())
        );
        let mut params: Vec<mysql_async::Value> = sockets.iter().map(Into::into).collect();
        params.push(own_id.into());
        let rows: Vec<Holder> = db.rows(&sql, params).await?;
        found.extend(rows.into_iter().map(|(socket, process_id, address, key)| {
            let peer = || {
                let address = address?.parse().ok()?;
                Some(Peer { process_id: process_id?, address, key: key?.into() })
            };
            (socket, peer())
        }));
    }
    Ok(found)
}

/// Takes the lock again whenever its connection breaks.
async fn keep(db: Db, own: Own, mut lock: Conn) {
    loop {
        while lock.ping().await.is_ok() {
            sleep(KEEPING).await;
        }
        // The pool has one connection, and this is it.
        drop(lock);
        lock = loop {
            match take(&db, &own).await {
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
    db.execute(&format!("DELETE FROM server_processes WHERE process_id IN ({places})"), gone.clone()).await?;
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

/// The processes with sockets or a row that do not have their lock.
async fn without_lock(db: &Db) -> Result<Vec<String>> {
    db.rows(
        "SELECT process_id FROM (SELECT DISTINCT process_id FROM connections WHERE process_id IS NOT NULL
                                 UNION SELECT process_id FROM server_processes) p
         WHERE IS_FREE_LOCK(process_id)",
        (),
    )
    .await
}
