//! The migrator: applies the embedded `migrations/*.sql` in order, each of them once.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Pool};

use crate::base::iam;
use crate::config::Database;
use crate::{Error, Result};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// Seconds to wait for another migrator that is working on the same database.
const LOCK_SECONDS: u32 = 60;

/// Applies the migrations that a database lacks, and returns their names.
///
/// Two environments may start at once and refinery has no lock of its own, so a named lock is held on
/// another connection meanwhile.
///
/// # Errors
/// [`Error::DatabaseUnavailable`] or [`Error::Internal`] with the migration that failed.
pub async fn migrate(database: &Database) -> Result<Vec<String>> {
    let database = &iam::opts(database).await?;
    let mut guard = Conn::new(database.clone()).await?;
    let lock = format!("coterie migrations of {}", database.db_name().unwrap_or_default());
    // The server refuses a lock name longer than 64 characters.
    let lock: String = lock.chars().take(64).collect();
    let held: Option<Option<i64>> = guard.exec_first("SELECT GET_LOCK(?, ?)", (&lock, LOCK_SECONDS)).await?;
    if held.flatten() != Some(1) {
        return Err(Error::internal(format!("another migrator has been at work for {LOCK_SECONDS} s")));
    }
    let mut pool = Pool::new(database.clone());
    // After a rollback the database may have migrations that this binary does not know (migrations/README.md).
    let report = embedded::migrations::runner().set_abort_missing(false).run_async(&mut pool).await;
    pool.disconnect().await?;
    // Closing the connection releases the lock, even if the process is killed before this line.
    guard.disconnect().await?;
    let report = report.map_err(Error::internal)?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}
