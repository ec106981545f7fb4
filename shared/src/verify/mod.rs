//! Verifying what is stored: the invariants of the ledger, the rooms, their numbers and counts, and the files. It changes
//! nothing. After a restore from a backup it tells whether the database and the object store fit together.

mod files;
mod numbers;
mod rows;
mod snapshot;

use crate::Result;
use crate::app::App;
use crate::base::db::Db;
use crate::verify::snapshot::Snapshot;

pub use crate::verify::snapshot::Wrong;

/// Passes every wrong row of the database to `report`, and every file that is missing, or in the store without a row.
///
/// The rows are those of one moment, in portions. Files come and go meanwhile, so what seems wrong with one is looked
/// at again.
///
/// # Errors
/// The database's or the store's.
pub async fn verify(app: &App, report: &mut (dyn FnMut(Wrong) + Send)) -> Result<()> {
    let mut snapshot = Snapshot::take(&app.db).await?;
    rows::verify(&mut snapshot, report).await?;
    numbers::verify(&mut snapshot, report).await?;
    files::verify(app, &mut snapshot, report).await
}

/// Works like [`verify`], for the database alone.
///
/// # Errors
/// The database's.
pub async fn verify_rows(db: &Db, report: &mut (dyn FnMut(Wrong) + Send)) -> Result<()> {
    let mut snapshot = Snapshot::take(db).await?;
    rows::verify(&mut snapshot, report).await?;
    numbers::verify(&mut snapshot, report).await
}
