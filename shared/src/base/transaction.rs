//! Transactions: how they begin, which functions run in them, and how they end.

use std::fmt::{self, Debug, Formatter};
use std::ops::{Deref, DerefMut};

use futures_util::FutureExt;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, QueryResult, Row, TextProtocol};

use crate::Result;

/// Which state of the rows the statements of a transaction read.
#[derive(Clone, Copy, Debug, Default)]
pub enum Isolation {
    /// Those that lock read the newest rows. The others read a snapshot, which the first of them takes.
    #[default]
    RepeatableRead,
    /// All read the snapshot that the transaction begins with.
    Snapshot,
    /// All read the newest rows, and take no gap locks.
    ReadCommitted,
}

impl Isolation {
    /// The statements that begin a transaction.
    fn statements(self) -> &'static [&'static str] {
        match self {
            Self::RepeatableRead => &["START TRANSACTION"],
            Self::Snapshot => &["START TRANSACTION WITH CONSISTENT SNAPSHOT"],
            Self::ReadCommitted => &["SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"],
        }
    }
}

/// A transaction, and the connection that it has for itself. One that is dropped before its end closes the
/// connection, and so the server rolls it back, unless its commit was sent.
///
/// It differs from `mysql_async`'s in that other statements can travel with `START TRANSACTION` and `COMMIT`. They are
/// texts without parameters, so they may contain nothing but numbers, times and [`literal`](super::db::literal)s.
pub struct Transaction {
    /// `None` once it has ended.
    connection: Option<Conn>,
}

/// Only what ends a transaction takes its connection, and it takes the transaction too.
const ENDED: &str = "the transaction has ended";

impl Transaction {
    /// Begins a transaction, together with its first statement if that is given, in one round trip. Returns the rows of
    /// that statement.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn begin<R: FromRow + Send + 'static>(
        connection: Conn,
        isolation: Isolation,
        first: Option<&str>,
    ) -> mysql_async::Result<(Self, Vec<R>)> {
        let mut transaction = Self { connection: Some(connection) };
        match transaction.first_rows(isolation, first).await {
            Ok(rows) => Ok((transaction, rows)),
            Err(error) => Err(transaction.failed(error).await),
        }
    }

    async fn first_rows<R: FromRow + Send + 'static>(
        &mut self,
        isolation: Isolation,
        first: Option<&str>,
    ) -> mysql_async::Result<Vec<R>> {
        let statements: Vec<&str> = isolation.statements().iter().copied().chain(first).collect();
        let mut results = self.query_iter(statements.join("; ")).await?;
        for _ in isolation.statements() {
            results.collect::<Row>().await?;
        }
        results.collect().await
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// The database's. If that is one of the connection, it is not known whether the transaction was committed.
    pub(crate) async fn commit(mut self) -> mysql_async::Result<()> {
        match self.query_drop("COMMIT").await {
            Ok(()) => {
                self.connection = None;
                Ok(())
            }
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// Ends the transaction together with its last statements, which return no rows, and reads what `then` selects
    /// after that, all in one round trip. Returns as soon as the transaction is committed.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub(crate) async fn commit_with(mut self, last: &[String], then: &str) -> mysql_async::Result<Committed> {
        match self.last_results(last, then).await {
            Ok(()) => {
                let connection = self.connection.take();
                Ok(Committed { connection: connection.unwrap_or_else(|| unreachable!("{ENDED}")) })
            }
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn last_results(&mut self, last: &[String], then: &str) -> mysql_async::Result<()> {
        let statements = last.iter().map(String::as_str).chain(["COMMIT", then]);
        let mut results = self.query_iter(statements.collect::<Vec<_>>().join("; ")).await?;
        // The end of one result is the beginning of the next: the last one here is that of `COMMIT`.
        for _ in last {
            results.collect::<Row>().await?;
        }
        // If it is an error, nothing follows, and the next call returns it.
        if results.is_empty() {
            results.collect::<Row>().await?;
        }
        Ok(())
    }

    /// Undoes the transaction because of an error of the server. Where the connection has failed, nothing can be sent.
    async fn failed(self, error: mysql_async::Error) -> mysql_async::Error {
        match error {
            mysql_async::Error::Server(_) => self.undo(error).await,
            _ => error,
        }
    }

    /// Undoes the transaction because of an error, and returns that error.
    pub(crate) async fn undo<E>(mut self, error: E) -> E {
        match self.query_drop("ROLLBACK").await {
            Ok(()) => self.connection = None,
            // It must not hide the first error. The connection is closed.
            Err(cause) => tracing::warn!(%cause, "rollback failed"),
        }
        error
    }
}

impl Deref for Transaction {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("{ENDED}"))
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Conn {
        self.connection.as_mut().unwrap_or_else(|| unreachable!("{ENDED}"))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // The first poll marks the connection as one that the pool must not use again.
            _ = connection.disconnect().now_or_never();
        }
    }
}

impl Debug for Transaction {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transaction")
    }
}

/// A transaction that has been committed, before the rows are read that were selected after that.
#[derive(Debug)]
pub(crate) struct Committed {
    connection: Conn,
}

impl Committed {
    /// Reads the rows.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn rows(self) -> mysql_async::Result<Vec<Row>> {
        let mut results = QueryResult::<TextProtocol>::new(self.connection);
        // That of `COMMIT`.
        results.collect::<Row>().await?;
        results.collect().await
    }
}

/// An `async fn(&mut Transaction, args)`. It is a trait of its own, since stable Rust cannot prove that the
/// future of a plain `AsyncFn` bound is `Send`.
pub trait Work<'t, A, T>: Send + Sync {
    /// What the function returns.
    type Future: Future<Output = Result<T>> + Send;
    /// Calls the function.
    fn run(&self, transaction: &'t mut Transaction, args: A) -> Self::Future;
}

impl<'t, A, T, F, Fut> Work<'t, A, T> for F
where
    F: Fn(&'t mut Transaction, A) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T>> + Send,
{
    type Future = Fut;

    fn run(&self, transaction: &'t mut Transaction, args: A) -> Fut {
        self(transaction, args)
    }
}
