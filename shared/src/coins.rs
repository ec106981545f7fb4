//! Coins: an append-only ledger whose sum is the balance, always (contract section 1).

use mysql_async::prelude::Queryable;
use mysql_async::{Transaction, params};

use crate::rooms::RoomId;
use crate::users::UserId;
use crate::{Result, time};

/// The most coins that a user can have; a CHECK holds it too.
pub const MOST: i64 = 1_000_000_000;

/// Why a balance changed.
#[derive(Clone, Copy, Debug)]
pub enum Reason {
    /// What a user started with.
    Signup,
    /// The price of a room.
    RoomEntry(RoomId),
}

/// Changes a user's balance by `delta` coins and writes the ledger's row, in the caller's
/// transaction, which has checked that the balance allows it.
///
/// # Errors
/// The database's; the schema refuses a balance out of bounds.
pub async fn change(
    transaction: &mut Transaction<'static>,
    user_id: &UserId,
    delta: i64,
    reason: Reason,
) -> Result<()> {
    transaction
        .exec_drop("UPDATE users SET avail_coins = avail_coins + ? WHERE user_id = ?", (delta, user_id))
        .await?;
    let (reason, room_id) = match reason {
        Reason::Signup => ("signup", None),
        Reason::RoomEntry(room_id) => ("room_entry", Some(room_id)),
    };
    transaction
        .exec_drop(
            "INSERT INTO coin_ledger (user_id, delta, balance_after, reason, room_id, created_at)
             SELECT user_id, :delta, avail_coins, :reason, :room_id, :now FROM users WHERE user_id = :user_id",
            params! { delta, reason, room_id, "now" => time::now(), user_id },
        )
        .await?;
    Ok(())
}
