//! The operator runs the service: appoints admins, and grants coins and the prime flag whatever
//! `SIGNUP_GRANTS` says (`docs/contract.md`, "The operator"). These functions need access to the database,
//! or permission to invoke the function `operator`.

use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::Serialize;

use crate::base::db::Db;
use crate::base::fields::{Fields, Flag, Missing, Read};
use crate::base::ids::UserId;
use crate::base::text::{line, text_type};
use crate::base::tokens::random_token;
use crate::base::transaction::Transaction;
use crate::base::user::Role;
use crate::error::Thing;
use crate::people::coins::{self, Delta, Grant, GrantReason, Granter, IdempotencyKey};
use crate::people::organizations;
use crate::people::profiles::{self, Organization, OwnProfile};
use crate::{Error, Result};

/// The reason that the ledger gets for a grant without one.
const REASON: &str = "granted by the operator";

/// What the operator can do.
#[derive(Clone, Debug)]
pub enum OperatorCommand {
    /// Make a user an admin of their organization, including the first admin of `public`.
    MakeAdmin {
        /// The user.
        user_id: UserId,
    },
    /// Give a user coins or the prime flag, or take them away.
    Grant {
        /// The user.
        user_id: UserId,
        /// The coins to give; `None` leaves the balance alone.
        coins: Option<Delta>,
        /// The prime flag to set; `None` leaves it alone.
        prime: Option<bool>,
        /// The reason, for the ledger.
        reason: Option<GrantReason>,
        /// A key that makes the grant of coins repeatable.
        idempotency_key: Option<IdempotencyKey>,
    },
}

text_type!(
    /// The name of this command.
    CommandName, |name| line(name, 0..=64)
);

impl Read for OperatorCommand {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let command = fields.required::<CommandName>("command");
        let user_id = fields.required("userId");
        match command?.as_str() {
            "make-admin" => Ok(Self::MakeAdmin { user_id: user_id? }),
            "grant" => {
                let coins = fields.optional("coins");
                let prime = fields.optional("prime");
                let reason = fields.optional("reason");
                let idempotency_key = fields.optional("idempotencyKey");
                if matches!((&coins, &prime), (Ok(None), Ok(None))) {
                    fields.wrong("coins", "must be given, or `prime`, or both");
                }
                Ok(Self::Grant {
                    user_id: user_id?,
                    coins: coins?,
                    prime: prime?.map(|Flag(prime)| prime),
                    reason: reason?,
                    idempotency_key: idempotency_key?,
                })
            }
            _ => {
                fields.wrong("command", "must be make-admin or grant");
                Err(Missing)
            }
        }
    }
}

/// What was done, and the user's state after it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The user.
    pub user_id: UserId,
    /// The user's organization.
    pub organization: Organization,
    /// The user's role in the organization.
    pub role: Role,
    /// Whether the user is prime.
    pub prime: bool,
    /// The user's balance, in coins.
    pub avail_coins: i64,
    /// The coins that were given or taken now; 0 when the same grant had been made before.
    pub granted: i64,
    /// Whether anything changed.
    pub changed: bool,
}

impl Report {
    fn new(user: OwnProfile, granted: i64, changed: bool) -> Self {
        Self {
            user_id: user.public.user_id,
            organization: user.organization,
            role: user.public.role,
            prime: user.public.prime,
            avail_coins: user.avail_coins,
            granted,
            changed,
        }
    }
}

/// Carries out the operator's command, completely or not at all.
///
/// # Errors
/// [`Error::NotFound`] for an unknown user, and the errors of a grant of coins.
pub async fn run(db: &Db, command: &OperatorCommand) -> Result<Report> {
    match command {
        OperatorCommand::MakeAdmin { user_id } => {
            // A user never changes organization, so the organization may be looked up before it is locked.
            let organization_id: Option<u64> =
                db.first("SELECT organization_id FROM users WHERE user_id = ?", (user_id,)).await?;
            let organization_id = organization_id.ok_or(Error::NotFound(Thing::User))?;
            db.transaction((user_id, organization_id), make_admin).await
        }
        OperatorCommand::Grant { user_id, coins, prime, reason, idempotency_key } => {
            let reason = reason.clone().unwrap_or_else(|| GrantReason::stored(REASON.to_owned()));
            let idempotency_key =
                idempotency_key.clone().unwrap_or_else(|| IdempotencyKey::stored(random_token::<16>()));
            let coins = coins.map(|delta| Grant { delta, reason, idempotency_key });
            db.transaction((user_id, *prime, coins.as_ref()), grant).await
        }
    }
}

async fn make_admin(
    transaction: &mut Transaction,
    (user_id, organization_id): (&UserId, u64),
) -> Result<Report> {
    organizations::lock(transaction, organization_id).await?;
    transaction
        .exec_drop("UPDATE users SET role = 'admin' WHERE user_id = ? AND role <> 'admin'", (user_id,))
        .await?;
    let changed = transaction.affected_rows() == 1;
    let user = profiles::own(transaction, user_id, organization_id).await?;
    Ok(Report::new(user, 0, changed))
}

async fn grant(
    transaction: &mut Transaction,
    (user_id, prime, coins): (&UserId, Option<bool>, Option<&Grant>),
) -> Result<Report> {
    let user: Option<(u64, bool, i64)> = transaction
        .exec_first(
            "SELECT organization_id, prime, avail_coins FROM users WHERE user_id = ? FOR UPDATE",
            (user_id,),
        )
        .await?;
    let (organization_id, was_prime, available) = user.ok_or(Error::NotFound(Thing::User))?;
    let mut changed = false;
    if let Some(prime) = prime.filter(|&prime| prime != was_prime) {
        transaction
            .exec_drop("UPDATE users SET prime = :prime WHERE user_id = :user_id", params! { prime, user_id })
            .await?;
        changed = true;
    }
    let mut granted = 0;
    if let Some(grant) = coins
        && coins::grant(transaction, Granter::Operator, user_id, available, grant).await?
    {
        granted = grant.delta.coins();
        changed = true;
    }
    let user = profiles::own(transaction, user_id, organization_id).await?;
    Ok(Report::new(user, granted, changed))
}
