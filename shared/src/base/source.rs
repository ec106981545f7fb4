//! Where read-only statements run: each by itself, or all in one transaction, and so from one snapshot.

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Params, Row};

use crate::base::db::Db;
use crate::base::transaction::Transaction;
use crate::{Error, Result};

/// The database by itself, or a transaction. (It is no trait, since stable Rust could not prove that the future of a
/// function over it is `Send`.)
#[derive(Debug)]
pub enum Source<'a> {
    /// Each statement runs by itself.
    Alone(&'a Db),
    /// All statements run in this transaction.
    Within(&'a mut Transaction),
}

impl Source<'_> {
    /// Returns all rows of one statement.
    ///
    /// # Errors
    /// As [`Db::rows`].
    pub(crate) async fn rows<R: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<Vec<R>> {
        match self {
            Self::Alone(db) => db.rows(sql, params).await,
            Self::Within(transaction) => {
                let rows: Vec<Row> = transaction.exec(sql, params.into()).await?;
                rows.into_iter().map(|row| R::from_row_opt(row).map_err(Error::internal)).collect()
            }
        }
    }
}
