//! Coins: an append-only ledger whose sum always equals the balance (`docs/contract.md`, "Coins").

use chrono::NaiveDateTime;
use mysql_async::params;
use mysql_async::prelude::{FromRow, Queryable};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::base::db::Db;
use crate::base::fields::{self, Request};
use crate::base::ids::{RoomId, UserId};
use crate::base::page::{Page, Paged};
use crate::base::text::{line, shows_nothing, text_type};
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::{Error, Result};

/// The most coins that a user can have; a CHECK enforces it too.
pub const MOST: i64 = 1_000_000_000;

/// Why a balance changed.
#[derive(Clone, Copy, Debug)]
pub enum Reason<'a> {
    /// The coins that a user started with.
    Signup,
    /// The price of a room.
    RoomEntry(RoomId),
    /// The text that an admin or the operator wrote.
    Grant(&'a GrantReason),
}

/// Changes a user's balance by `delta` coins and writes the ledger's row, in the caller's transaction,
/// which has checked that the balance allows it. Returns the row's id.
///
/// # Errors
/// The database's errors. The schema refuses a balance that is out of bounds.
pub async fn change(
    transaction: &mut Transaction,
    user_id: &UserId,
    delta: i64,
    reason: Reason<'_>,
) -> Result<u64> {
    transaction
        .exec_drop("UPDATE users SET avail_coins = avail_coins + ? WHERE user_id = ?", (delta, user_id))
        .await?;
    let (reason, room_id) = match reason {
        Reason::Signup => ("signup", None),
        Reason::RoomEntry(room_id) => ("room_entry", Some(room_id)),
        Reason::Grant(reason) => (reason.as_str(), None),
    };
    transaction
        .exec_drop(
            "INSERT INTO coin_ledger (user_id, delta, balance_after, reason, room_id, created_at)
             SELECT user_id, :delta, avail_coins, :reason, :room_id, :now FROM users WHERE user_id = :user_id",
            params! { delta, reason, room_id, "now" => time::now(), user_id },
        )
        .await?;
    transaction.last_insert_id().ok_or_else(|| Error::internal("a ledger's row was not written"))
}

/// How many coins to give, or to take if negative: -1,000,000,000 to 1,000,000,000, not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta(i64);

impl Delta {
    /// The number of coins.
    pub fn coins(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Delta {
    type Error = String;

    fn try_from(coins: i64) -> Result<Self, String> {
        if coins != 0 && (-MOST..=MOST).contains(&coins) {
            Ok(Self(coins))
        } else {
            Err(format!("must be a whole number from -{MOST} to {MOST}, and not 0"))
        }
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A value that is not an integer gets the same error as 0.
        let coins =
            Value::deserialize(deserializer)?.as_number().and_then(fields::integer).unwrap_or_default();
        Self::try_from(coins).map_err(de::Error::custom)
    }
}

text_type!(
    /// The reason for giving or taking coins: one line of 1 to 64 characters.
    GrantReason, |reason| match line(reason, 1..=64)? {
        blank if shows_nothing(&blank) => Err("must not be blank".to_owned()),
        reason => Ok(reason),
    }
);

text_type!(
    /// The key that makes a grant repeatable: 1 to 64 characters, compared byte for byte.
    IdempotencyKey, |key| line(key, 1..=64)
);

/// A grant of coins, which may safely be sent again.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Grant {
    pub delta: Delta,
    pub reason: GrantReason,
    pub idempotency_key: IdempotencyKey,
}

impl Request for Grant {}

/// Who makes a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Granter<'a> {
    Admin(&'a UserId),
    Operator,
}

/// Gives or takes coins once for each key, in the caller's transaction, which has locked the user and found
/// `available` coins. Returns whether anything changed: a repeated grant changes nothing.
///
/// # Errors
/// [`Error::IdempotencyKeyReused`] for a different grant under the same key, [`Error::InsufficientCoins`],
/// and [`Error::InvalidRequest`] for more coins than a user can have.
pub(crate) async fn grant(
    transaction: &mut Transaction,
    by: Granter<'_>,
    user_id: &UserId,
    available: i64,
    grant: &Grant,
) -> Result<bool> {
    let delta = grant.delta.coins();
    let before: Option<(i64, GrantReason)> = transaction
        .exec_first(
            "SELECT l.delta, l.reason FROM coin_grants g JOIN coin_ledger l ON l.id = g.ledger_id
             WHERE g.user_id = ? AND g.idempotency_key = ?",
            (user_id, &grant.idempotency_key),
        )
        .await?;
    match before {
        Some((coins, reason)) if (coins, &reason) == (delta, &grant.reason) => {
            return Ok(false);
        }
        Some(_) => return Err(Error::IdempotencyKeyReused),
        None => {}
    }
    let (field, granted_by) = match by {
        Granter::Admin(admin) => ("coins.delta", Some(admin)),
        Granter::Operator => ("coins", None),
    };
    match available + delta {
        ..0 => return Err(Error::InsufficientCoins { required: -delta, available }),
        0..=MOST => {}
        _ => {
            let message = format!("must be at most {}: nobody has more than {MOST} coins", MOST - available);
            return Err(Error::invalid(field, message));
        }
    }
    let ledger_id = change(transaction, user_id, delta, Reason::Grant(&grant.reason)).await?;
    transaction
        .exec_drop(
            "INSERT INTO coin_grants (user_id, idempotency_key, ledger_id, granted_by) VALUES (?, ?, ?, ?)",
            (user_id, &grant.idempotency_key, ledger_id, granted_by),
        )
        .await?;
    Ok(true)
}

/// A row of the ledger, as its user sees it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct LedgerEntry {
    /// In coins.
    pub delta: i64,
    /// In coins.
    pub balance_after: i64,
    pub reason: String,
    /// The room that was paid for.
    pub room_id: Option<RoomId>,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
}

/// Returns a page of the user's own ledger, newest first.
///
/// # Errors
/// The database's errors.
pub async fn list(db: &Db, user: &User, page: Page) -> Result<Paged<LedgerEntry>> {
    let sql = "
        SELECT counted.total, listed.*
        FROM (SELECT COUNT(*) AS total FROM coin_ledger l FORCE INDEX (coin_ledger_newest)
              WHERE l.user_id = :user_id) counted
        LEFT JOIN (SELECT l.id, l.delta, l.balance_after, l.reason, l.room_id, l.created_at, 1 AS is_row
                   FROM coin_ledger l FORCE INDEX (coin_ledger_newest) WHERE l.user_id = :user_id
                   ORDER BY id DESC LIMIT :page_size OFFSET :page_offset) listed ON TRUE
        ORDER BY listed.id DESC";
    Paged::read(db, sql, params! { "user_id" => &user.user_id }, page).await
}
