//! Bringing the database up to date: its schema, and then what the schema's migrations leave to the code.

use crate::Result;
use crate::base::db::Db;
use crate::base::migrations;
use crate::config::Database;
use crate::people::names;

/// How many batches of users get their keys at once, so that a run ends within the function's time limit. The
/// sweep goes on.
const BATCHES: usize = 1000;

/// Applies the migrations that a database lacks, and returns their names.
///
/// # Errors
/// [`Error::DatabaseUnavailable`](crate::Error::DatabaseUnavailable) or
/// [`Error::Internal`](crate::Error::Internal) with the migration that failed.
pub async fn migrate(database: &Database) -> Result<Vec<String>> {
    let applied = migrations::migrate(database).await?;
    let db = Db::new(database.clone(), 1);
    let filled = names::fill(&db, BATCHES).await;
    db.disconnect().await?;
    filled.map(|_| applied)
}
