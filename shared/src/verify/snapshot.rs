//! The database as it is at one moment.

use std::fmt;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Params, Row};

use crate::base::db::Db;
use crate::{Error, Result};

/// How many rows of a table one statement begins with.
pub(super) const PORTION: usize = 1000;

/// A row that breaks an invariant, or a file that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The row's table, or `files` for an object in the store.
    pub table: &'static str,
    /// The row's key, or the object's.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.table, self.key, self.what)
    }
}

/// A connection whose statements all see the same moment. It locks nothing.
pub(super) struct Snapshot(Conn);

impl Snapshot {
    pub(super) async fn take(db: &Db) -> Result<Self> {
        let mut connection = db.connection().await?;
        connection.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
        Ok(Self(connection))
    }

    pub(super) async fn rows<R: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        params: impl Into<Params> + Send,
    ) -> Result<Vec<R>> {
        let rows: Vec<Row> = self.0.exec(sql, params.into()).await?;
        rows.into_iter().map(|row| R::from_row_opt(row).map_err(Error::internal)).collect()
    }
}
