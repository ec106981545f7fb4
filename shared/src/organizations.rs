//! Organizations: the tenants. Nothing of one is visible in another (contract section 1).

use mysql_async::Transaction;
use mysql_async::prelude::Queryable;

use crate::Result;

/// The built-in organization `public`, which the first migration makes.
pub const PUBLIC: u64 = 1;

/// Locks an organization until the transaction ends: the first lock of every change of a role in it, so
/// that two admins cannot both be the last but one.
///
/// # Errors
/// The database's.
pub(crate) async fn lock(transaction: &mut Transaction<'static>, organization_id: u64) -> Result<()> {
    transaction.exec_drop("SELECT 1 FROM organizations WHERE id = ? FOR UPDATE", (organization_id,)).await?;
    Ok(())
}
