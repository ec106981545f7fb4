//! MySQL: the pool, transactions that survive a deadlock, and the server's errors as [`Error`]s.
//!
//! Locks are taken in the same order everywhere: the organization, the room, users by id, the rest. A new
//! room's foreign key locks the row of its organization, so code that creates a room takes that lock first.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{
    Conn, DriverError, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, Row, ServerError, Value,
};

use serde::Serialize;
use tokio::sync::Mutex;

use crate::base::gate::{Gate, Place, WAITING};
use crate::base::iam;
use crate::base::ids::RoomId;
use crate::base::meters::meters;
use crate::base::transaction::{Committed, Isolation, Transaction, Work};
use crate::config::{Database, DatabaseAuth};
use crate::{Error, Result};

/// Errors after which the same transaction may succeed at once: a deadlock, a lock that was not granted within
/// `innodb_lock_wait_timeout`, and rows, a table or a prepared statement that changed meanwhile.
const PASSING: [u16; 5] =
    [ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, ER_CHECKREAD, ER_TABLE_DEF_CHANGED, ER_NEED_REPREPARE];
const ER_LOCK_DEADLOCK: u16 = 1213;
const ER_LOCK_WAIT_TIMEOUT: u16 = 1205;
/// A row changed after the snapshot was taken (MariaDB with `innodb_snapshot_isolation`).
const ER_CHECKREAD: u16 = 1020;
/// A migration changed a table after the snapshot was taken.
const ER_TABLE_DEF_CHANGED: u16 = 1412;
/// Migrations changed a table faster than the server could prepare the statement again.
const ER_NEED_REPREPARE: u16 = 1615;

/// Errors of a server to which nobody can write: Aurora's writer became a reader.
const READ_ONLY: [u16; 3] =
    [ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE];
const ER_OPTION_PREVENTS_STATEMENT: u16 = 1290;
const ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: u16 = 1792;
const ER_READ_ONLY_MODE: u16 = 1836;

/// More errors that say something about the state of the server and not about the statement. Each is for the
/// operator to mend or for time to heal, so the same request may succeed later.
const UNAVAILABLE: [u16; 20] = [
    1021, // ER_DISK_FULL
    1024, // ER_ERROR_ON_READ
    1026, // ER_ERROR_ON_WRITE
    1030, // ER_GET_ERRNO: the storage engine failed
    1040, // ER_CON_COUNT_ERROR: too many connections
    1041, // ER_OUT_OF_RESOURCES
    1044, // ER_DBACCESS_DENIED_ERROR
    1049, // ER_BAD_DB_ERROR
    1114, // ER_RECORD_FILE_FULL
    1129, // ER_HOST_IS_BLOCKED
    1130, // ER_HOST_NOT_PRIVILEGED
    1135, // ER_CANT_CREATE_THREAD
    1180, // ER_ERROR_DURING_COMMIT
    1203, // ER_TOO_MANY_USER_CONNECTIONS
    1206, // ER_LOCK_TABLE_FULL
    1226, // ER_USER_LIMIT_REACHED
    1637, // ER_TOO_MANY_CONCURRENT_TRXS
    3024, // ER_QUERY_TIMEOUT
    3032, // ER_SERVER_OFFLINE_MODE
    3168, // ER_SERVER_ISNT_AVAILABLE
];
/// Beginnings of SQLSTATEs that say the same: the connection, the account, a transaction that was rolled back, an
/// interrupted statement (`KILL QUERY` is 70100), and memory.
const UNAVAILABLE_STATES: [&str; 5] = ["08", "28", "40", "70", "HY001"];
/// Has the SQLSTATE of a broken connection, but every repetition would be as large.
const ER_NET_PACKET_TOO_LARGE: u16 = 1153;

const ER_DUP_ENTRY: u16 = 1062;
/// How many times a transaction is tried before the caller gets its error.
const ATTEMPTS: u32 = 4;

/// Set on every connection. The times that the server itself writes are UTC. MariaDB turns snapshot isolation on from 11.6.2, and then a locking read fails
/// where every other server reads the newest row. MySQL and older versions of MariaDB treat the last part as a
/// comment. `wait_timeout` is [`WAIT_TIMEOUT`]: the connection of an environment that Lambda threw away ends then.
const SESSION: &str = "SET SESSION innodb_lock_wait_timeout = 3, SESSION wait_timeout = 300, SESSION time_zone = '+00:00' /*M!110602 , SESSION innodb_snapshot_isolation = OFF */";

/// Also set on every connection, so that snapshots and gap locks do not depend on the server's settings.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

/// The server's default `wait_timeout` is 8 hours; proxies cut idle connections sooner.
const WAIT_TIMEOUT: usize = 300;
/// The largest packet that we send: no statement comes near it.
const MAX_ALLOWED_PACKET: usize = 16 * 1024 * 1024;
/// A server that has not answered by then is reported as unavailable. That is for connecting, with the wait for
/// the pool, for a statement by itself, which waits for a lock for 3 seconds at most, and for the beginning of a batch of
/// messages, whose locks others hold for milliseconds.
///
/// A paused Aurora takes new connections and says nothing for 15 seconds. To a connection that an environment
/// kept while Lambda had frozen it, a server may never answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for the statements of a transaction together. They may wait for several locks.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// How many of so many connections one user or one room may use at once: others must always find one, whatever waits
/// for a lock.
pub(crate) fn share(connections: usize) -> usize {
    (connections / 4).max(2)
}

/// IAM's token is valid for 15 minutes. A new pool is made with a new one before that.
const TOKEN_AGE: Duration = Duration::from_secs(10 * 60);

/// The database, as one execution environment uses it. Clones share its pool.
#[derive(Clone, Debug)]
pub struct Db {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Database,
    connections: usize,
    /// The places for transactions that lock a room.
    rooms: Gate<RoomId>,
    current: Mutex<Option<Current>>,
}

/// The pool in use. It is replaced when its token is about to expire, and when its server became read-only.
#[derive(Debug)]
struct Current {
    pool: Pool,
    /// By the clock of the wall: the other one may stand still while Lambda freezes an environment.
    since: SystemTime,
}

/// The effect of a statement that returns no rows.
#[derive(Clone, Copy, Debug)]
pub struct Executed {
    /// How many rows it changed. For an upsert, 1 means a new row and 2 an existing one.
    pub affected_rows: u64,
    /// The value of `LAST_INSERT_ID` after the statement, if it set one.
    pub last_insert_id: Option<u64>,
}

/// How the connections of a pool are used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// How many a statement or a transaction uses.
    pub in_use: usize,
    /// How many are open and unused.
    pub idle: usize,
    /// How many statements and transactions wait for one.
    pub waiting: usize,
}

impl Db {
    /// Uses at most `connections` connections, and connects on first use.
    pub fn new(database: impl Into<Database>, connections: usize) -> Self {
        let rooms = Gate::new(share(connections), WAITING);
        let shared = Shared { database: database.into(), connections, rooms, current: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    async fn pool(&self) -> Result<Pool> {
        let Shared { database, connections, current, .. } = &*self.shared;
        let mut current = current.lock().await;
        if let Some(Current { pool, since }) = &*current
            && (database.auth == DatabaseAuth::Password || since.elapsed().is_ok_and(|age| age < TOKEN_AGE))
        {
            return Ok(pool.clone());
        }
        let pool = Pool::new(pooled(iam::opts(database).await?, *connections));
        let outdated = current.replace(Current { pool: pool.clone(), since: SystemTime::now() });
        outdated.into_iter().for_each(retire);
        Ok(pool)
    }

    /// Uses new connections from now on. Aurora's writer may have become a reader: all connections of the pool
    /// lead to it, and the cluster's name leads to the new writer.
    async fn reconnect(&self) {
        self.shared.current.lock().await.take().into_iter().for_each(retire);
    }

    /// Takes a connection out of the pool.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub(crate) async fn connection(&self) -> Result<Conn> {
        within(ANSWER_TIMEOUT, async { Ok(self.pool().await?.get_conn().await?) }.boxed()).await
    }

    /// Connects ahead of the first statement.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn connect(&self) -> Result<()> {
        self.connection().await.map(drop)
    }

    /// Returns all rows of one statement.
    ///
    /// An idle connection may have died while a Lambda environment was frozen. A statement that fails with
    /// its connection is therefore sent once more on another, so it must be safe to repeat. So is one that a
    /// read-only server refuses. A conflict with another transaction undoes the statement, and it is sent again as in
    /// [`Db::transaction`].
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`], or [`Error::Internal`] for a wrong statement.
    pub async fn rows<R: FromRow + Send + 'static>(
        &self,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<Vec<R>> {
        converted(self.send(sql, params.into()).await?.0)
    }

    /// Returns the first row of one statement, if there is one. The statement may be sent twice, as with
    /// [`Db::rows`].
    ///
    /// # Errors
    /// As [`Db::rows`].
    pub async fn first<R: FromRow + Send + 'static>(
        &self,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<Option<R>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Runs one statement that returns no rows. The statement may be sent twice, as with [`Db::rows`].
    ///
    /// # Errors
    /// As [`Db::rows`].
    pub async fn execute(&self, sql: &str, params: impl Into<Params>) -> Result<Executed> {
        Ok(self.send(sql, params.into()).await?.1)
    }

    /// Returns the rows that were selected together with a commit.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub(crate) async fn rows_after<R: FromRow + Send + 'static>(
        &self,
        committed: Committed,
    ) -> Result<Vec<R>> {
        let rows = within(ANSWER_TIMEOUT, async { Ok(committed.rows().await?) }).await?;
        converted(rows)
    }

    async fn send(&self, sql: &str, params: Params) -> Result<(Vec<Row>, Executed)> {
        let mut reconnected = false;
        let mut attempt = 1;
        loop {
            let mut connection = self.connection().await?;
            let start = Instant::now();
            let sent = within(ANSWER_TIMEOUT, async { Ok(connection.exec(sql, params.clone()).await) }).await;
            meters().statement.record(start.elapsed());
            match sent? {
                Ok(rows) => {
                    let affected_rows = connection.affected_rows();
                    let last_insert_id = connection.last_insert_id();
                    return Ok((rows, Executed { affected_rows, last_insert_id }));
                }
                Err(error) if is_disconnect(&error) && !reconnected => reconnected = true,
                Err(error) => match Error::from(error) {
                    error if is_read_only(&error) && !reconnected => {
                        reconnected = true;
                        self.reconnect().await;
                    }
                    error => try_again(&mut attempt, error).await?,
                },
            }
        }
    }

    /// Asks the server whether it is alive.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`].
    pub async fn ping(&self) -> Result<()> {
        within(ANSWER_TIMEOUT, self.execute("SELECT 1", ())).await.map(drop)
    }

    /// Runs `work` in one transaction. Commits when it succeeds, rolls back when it fails.
    ///
    /// After a conflict with another transaction ([`PASSING`]), rolls back and runs `work` again, up to three times, after
    /// a short random pause; if the server has become read-only, once more on a new connection. So `work` must
    /// change nothing outside the transaction. `args` are passed to it.
    ///
    /// # Errors
    /// The error of `work`, or the database's.
    pub async fn transaction<A, T, W>(&self, args: A, work: W) -> Result<T>
    where
        A: Copy + Send + Sync,
        T: Send,
        W: for<'t> Work<'t, A, T>,
    {
        self.transaction_with(Isolation::default(), args, work).await
    }

    /// Works like [`Db::transaction`], for acts that lock the row of this room. Many of them may wait for one room, so
    /// they get a share of the connections, and wait for their turn without one.
    ///
    /// # Errors
    /// As [`Db::transaction`], and [`Error::Overloaded`] when too many wait for the room, or for too long.
    pub(crate) async fn transaction_in<A, T, W>(&self, room_id: RoomId, args: A, work: W) -> Result<T>
    where
        A: Copy + Send + Sync,
        T: Send,
        W: for<'t> Work<'t, A, T>,
    {
        let _place = self.place_in(room_id).await?;
        self.transaction(args, work).await
    }

    /// Waits for the turn of a statement by itself that locks the row of this room.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait for the room, or for too long.
    pub(crate) async fn place_in(&self, room_id: RoomId) -> Result<Place<RoomId>> {
        self.shared.rooms.enter(room_id).await
    }

    /// Works like [`Db::transaction`], with another isolation.
    ///
    /// # Errors
    /// As [`Db::transaction`].
    pub async fn transaction_with<A, T, W>(&self, isolation: Isolation, args: A, work: W) -> Result<T>
    where
        A: Copy + Send + Sync,
        T: Send,
        W: for<'t> Work<'t, A, T>,
    {
        self.retry(|| self.try_transaction(isolation, args, &work).boxed()).await
    }

    /// Runs a transaction again after a conflict, as [`Db::transaction`] does.
    ///
    /// # Errors
    /// The last error of `transact`.
    pub(crate) async fn retry<'a, T>(&self, transact: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let mut attempt = 1;
        let mut reconnected = false;
        loop {
            match transact().await {
                Err(error) if is_read_only(&error) && !reconnected => {
                    reconnected = true;
                    self.reconnect().await;
                }
                Err(error) => try_again(&mut attempt, error).await?,
                Ok(value) => return Ok(value),
            }
        }
    }

    /// Works like [`Db::transaction_with`], but runs `work` only once.
    async fn try_transaction<A, T, W>(&self, isolation: Isolation, args: A, work: &W) -> Result<T>
    where
        A: Copy + Send + Sync,
        T: Send,
        W: for<'t> Work<'t, A, T>,
    {
        let start = Instant::now();
        let (mut transaction, _) = self.begin::<Row>(isolation, None).await?;
        let transacted = async move {
            match work.run(&mut transaction, args).await {
                Ok(value) => {
                    transaction.commit().await?;
                    Ok(value)
                }
                Err(error) => Err(transaction.undo(error).await),
            }
        };
        self.within_its_time(start, transacted).await
    }

    /// Begins a transaction, together with its first statement if that is given: a text without parameters. Returns the
    /// rows of that statement.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn begin<R: FromRow + Send + 'static>(
        &self,
        isolation: Isolation,
        first: Option<&str>,
    ) -> Result<(Transaction, Vec<R>)> {
        let begin = async || {
            let connection = self.connection().await?;
            let begun = async { Ok(Transaction::begin(connection, isolation, first).await) };
            within(ANSWER_TIMEOUT, begun.boxed()).await
        };
        match begin().await? {
            // Nothing was written yet, so a dead idle connection costs only one more try.
            Err(error) if is_disconnect(&error) => Ok(begin().await??),
            begun => Ok(begun?),
        }
    }

    /// Waits for the rest of a transaction that began at `start`.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when it takes too long. Then it is undone, unless its commit was sent.
    pub(crate) async fn within_its_time<T: Send>(
        &self,
        start: Instant,
        transacted: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let outcome = within(TRANSACTION_TIMEOUT, transacted.boxed()).await;
        meters().transaction.record(start.elapsed());
        outcome
    }

    /// How its connections are used now.
    pub async fn usage(&self) -> Usage {
        let metrics = self.shared.current.lock().await.as_ref().map(|current| current.pool.metrics());
        let Some(metrics) = metrics else { return Usage::default() };
        Usage {
            in_use: metrics.connections_in_use.load(Relaxed),
            idle: metrics.connections_in_pool.load(Relaxed),
            waiting: metrics.active_wait_requests.load(Relaxed),
        }
    }

    /// The most connections that it uses.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections
    }

    /// Closes the pool's connections.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] when they cannot be closed cleanly.
    pub async fn disconnect(self) -> Result<()> {
        match self.shared.current.lock().await.take() {
            Some(current) => Ok(current.pool.disconnect().await?),
            None => Ok(()),
        }
    }
}

/// Closes the connections of a pool that is not used any more, once they are free.
fn retire(outdated: Current) {
    tokio::spawn(outdated.pool.disconnect());
}

fn pooled(opts: Opts, connections: usize) -> Opts {
    let pool_opts = PoolOpts::new()
        // The minimum is 0, so that idle connections end after the TTL.
        .with_constraints(PoolConstraints::new(0, connections.max(1)).unwrap_or_default())
        .with_inactive_connection_ttl(Duration::from_secs(WAIT_TIMEOUT as u64 / 2))
        // A reset would cost a round trip on every return, and would drop all prepared statements.
        .with_reset_connection(false);
    OptsBuilder::from_opts(opts)
        .pool_opts(pool_opts)
        // Values given here need not be queried from the server on each connection.
        .max_allowed_packet(Some(MAX_ALLOWED_PACKET))
        .wait_timeout(Some(WAIT_TIMEOUT))
        .prefer_socket(false)
        .stmt_cache_size(128)
        .setup(vec![SESSION, ISOLATION])
        .into()
}

impl From<mysql_async::Error> for Error {
    fn from(error: mysql_async::Error) -> Self {
        let is_unavailable = match &error {
            mysql_async::Error::Io(_) => true,
            mysql_async::Error::Driver(driver) => is_broken(driver),
            mysql_async::Error::Server(server) => may_pass(server),
            mysql_async::Error::Other(_) | mysql_async::Error::Url(_) => false,
        };
        if is_unavailable { Self::DatabaseUnavailable(error) } else { Self::internal(error) }
    }
}

/// Whether an error of the server says something about its state, and not about the statement.
fn may_pass(error: &ServerError) -> bool {
    let has_state = UNAVAILABLE_STATES.iter().any(|beginning| error.state.starts_with(beginning));
    (has_state && error.code != ER_NET_PACKET_TOO_LARGE)
        || PASSING.contains(&error.code)
        || READ_ONLY.contains(&error.code)
        || UNAVAILABLE.contains(&error.code)
}

/// Whether the connection is lost, or could not be made as the settings ask.
fn is_broken(error: &DriverError) -> bool {
    matches!(
        error,
        DriverError::ConnectionClosed
            | DriverError::PoolDisconnected
            | DriverError::PacketOutOfOrder
            | DriverError::UnexpectedPacket { .. }
            | DriverError::NoClientSslFlagFromServer
            | DriverError::UnknownAuthPlugin { .. }
    )
}

/// Lets a text column hold an enum, each variant under the name that `strum` gives it. (The `FromValue`
/// that `mysql_async` derives would add an undocumented public type to every module.)
macro_rules! text_column {
    ($name:ident) => {
        impl TryFrom<mysql_async::Value> for $name {
            type Error = mysql_async::FromValueError;

            fn try_from(value: mysql_async::Value) -> std::result::Result<Self, Self::Error> {
                let text: String = mysql_async::from_value_opt(value)?;
                text.parse().map_err(|_| mysql_async::FromValueError(text.into()))
            }
        }

        impl From<$name> for mysql_async::Value {
            fn from(value: $name) -> Self {
                <&'static str>::from(value).into()
            }
        }

        impl mysql_async::prelude::FromValue for $name {
            type Intermediate = Self;
        }
    };
}
pub(crate) use text_column;

/// The unique key that a statement would have violated, such as `PRIMARY` or `users_email`.
pub fn duplicate_key(error: &mysql_async::Error) -> Option<&str> {
    match error {
        mysql_async::Error::Server(server) if server.code == ER_DUP_ENTRY => {
            // "Duplicate entry '…' for key 'users.users_email'" on MySQL, 'users_email' on MariaDB. The
            // entry is the client's text, so only the text in the last pair of quotes counts.
            let key = server.message.trim_end_matches('\'').rsplit('\'').next()?;
            key.rsplit('.').next()
        }
        _ => None,
    }
}

/// Returns the placeholders of a list of so many values: `?, ?, ?`.
pub(crate) fn places(count: usize) -> String {
    rows("?", count)
}

/// Returns the parameters of a list. Its length is a power of two, so that the server prepares few statements; the last
/// value is repeated.
pub(crate) fn padded<T: Copy + Into<Value>>(values: &[T]) -> Params {
    let mut params: Vec<Value> = values.iter().copied().map(Into::into).collect();
    let last = params.last().cloned().unwrap_or(Value::NULL);
    params.resize(values.len().next_power_of_two(), last);
    Params::Positional(params)
}

fn converted<R: FromRow>(rows: Vec<Row>) -> Result<Vec<R>> {
    rows.into_iter().map(|row| R::from_row_opt(row).map_err(Error::internal)).collect()
}

/// Returns rows as what a `JSON_TABLE` reads: an array of arrays.
pub(crate) fn json_rows<R: Serialize>(rows: impl Iterator<Item = R>) -> String {
    serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default()
}

/// Returns the bytes of a text in hexadecimal digits.
pub(crate) fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a text as a literal of SQL. It is in hexadecimal digits, so nothing in the text can end the literal early.
pub(crate) fn literal(text: &str) -> String {
    format!("_utf8mb4 x'{}'", hexadecimal(text))
}

/// Returns the ids of a list: `3, 5, 8`.
pub(crate) fn listed(ids: &[RoomId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the placeholders of so many rows, each of which is `row`: `(?, ?), (?, ?)`.
pub(crate) fn rows(row: &str, count: usize) -> String {
    vec![row; count].join(", ")
}

/// Waits for the server, but no longer than this. A connection whose answer is given up is closed. The caller boxes what
/// is large: it would be part of every future that asks the database, and is moved on the stack.
///
/// # Errors
/// [`Error::DatabaseUnavailable`] when the time is over.
fn within<T>(time: Duration, answer: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    tokio::time::timeout(time, answer).map(|answer| {
        answer.unwrap_or_else(|_| {
            let timed_out = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(Error::DatabaseUnavailable(mysql_async::Error::Io(timed_out.into())))
        })
    })
}

/// The code of the server's error, if it is one that may pass.
fn passing_code(error: &Error) -> Option<u16> {
    match error {
        Error::DatabaseUnavailable(mysql_async::Error::Server(server)) => Some(server.code),
        _ => None,
    }
}

/// Whether the server refused to write because it is a reader.
pub(crate) fn is_read_only(error: &Error) -> bool {
    passing_code(error).is_some_and(|code| READ_ONLY.contains(&code))
}

/// Whether the server undid the transaction because of a deadlock.
pub(crate) fn is_deadlock(error: &Error) -> bool {
    passing_code(error) == Some(ER_LOCK_DEADLOCK)
}

/// Whether the same transaction may succeed at once.
pub(crate) fn passes_at_once(error: &Error) -> bool {
    passing_code(error).is_some_and(|code| PASSING.contains(&code))
}

fn is_disconnect(error: &mysql_async::Error) -> bool {
    use mysql_async::DriverError::{ConnectionClosed, PoolDisconnected};
    matches!(
        error,
        mysql_async::Error::Io(_) | mysql_async::Error::Driver(ConnectionClosed | PoolDisconnected)
    )
}

/// Waits for a short random time if the error is a conflict with another transaction and should be tried again.
///
/// # Errors
/// The given error, if it should not be tried again.
async fn try_again(attempt: &mut u32, error: Error) -> Result<()> {
    if *attempt == ATTEMPTS || !passes_at_once(&error) {
        return Err(error);
    }
    tracing::debug!(attempt, "a conflict with another transaction, trying again");
    tokio::time::sleep(Duration::from_millis(rand::random_range(2..20) * u64::from(*attempt))).await;
    *attempt += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mysql_async::{Error, ServerError};

    use super::duplicate_key;

    fn duplicate(message: &str) -> Error {
        Error::Server(ServerError { code: 1062, message: message.to_owned(), state: "23000".to_owned() })
    }

    #[test]
    fn a_duplicate_key_is_named_alike_on_both_servers() {
        assert_eq!(
            duplicate_key(&duplicate("Duplicate entry 'a@b' for key 'users.users_email'")),
            Some("users_email")
        );
        assert_eq!(
            duplicate_key(&duplicate("Duplicate entry 'a@b' for key 'users_email'")),
            Some("users_email")
        );
        assert_eq!(
            duplicate_key(&duplicate("Duplicate entry 'x' for key 'y.z' for key 'PRIMARY'")),
            Some("PRIMARY")
        );
    }
}
