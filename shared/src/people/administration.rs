//! What an admin can change about the users of their organization (`docs/contract.md`, "Roles in the
//! organization", "Coins" and "Signup grants").

use mysql_async::params;
use mysql_async::prelude::{FromRow, Queryable};

use crate::app::App;
use crate::base::fields::{Fields, Flag, Missing, Read};
use crate::base::ids::UserId;
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::config::SignupGrants;
use crate::error::Thing;
use crate::people::coins::{self, Grant, Granter};
use crate::people::organizations;
use crate::people::profiles::{self, SeenProfile};
use crate::people::sessions;
use crate::people::users;
use crate::{Error, Result};

/// A change that an admin makes. Absent fields keep their values.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct UserChange {
    pub role: Option<Role>,
    pub prime: Option<bool>,
    pub coins: Option<Grant>,
}

impl Read for UserChange {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let role = fields.optional("role");
        let prime = fields.optional("prime");
        let coins = fields.object("coins");
        Ok(Self { role: role?, prime: prime?.map(|Flag(prime)| prime), coins: coins? })
    }
}

/// Applies a change completely or not at all. Returns the user's profile as the admin sees it.
///
/// # Errors
/// [`Error::RoleRequired`] unless the asker is an admin, and for coins and the prime flag while grants are
/// closed; [`Error::NotFound`], also for a user of another organization; [`Error::LastAdmin`];
/// [`Error::InsufficientCoins`] and the other errors of a grant.
pub async fn update(app: &App, asker: &User, user_id: &UserId, change: &UserChange) -> Result<SeenProfile> {
    app.db.transaction((asker, app.config.signup_grants, user_id, change), apply).await
}

#[derive(FromRow)]
struct Row {
    user_id: UserId,
    organization_id: u64,
    role: Role,
    avail_coins: i64,
}

async fn apply(
    transaction: &mut Transaction,
    (asker, grants, user_id, change): (&User, SignupGrants, &UserId, &UserChange),
) -> Result<SeenProfile> {
    if change.role.is_some() {
        organizations::lock(transaction, asker.organization_id).await?;
    }
    // The primary key makes sure that these two rows are locked in order, and no others, whatever the
    // table's size.
    let rows: Vec<Row> = transaction
        .exec(
            "SELECT user_id, organization_id, role, avail_coins FROM users FORCE INDEX (PRIMARY)
             WHERE user_id IN (?, ?) ORDER BY user_id FOR UPDATE",
            (&asker.user_id, user_id),
        )
        .await?;
    let of = |user_id: &UserId| {
        let here = |row: &&Row| row.organization_id == asker.organization_id;
        rows.iter().filter(here).find(|row| row.user_id == *user_id)
    };
    if of(&asker.user_id).is_none_or(|admin| admin.role != Role::Admin) {
        return Err(users::ADMINS);
    }
    sessions::still_signed_in(transaction, asker, None).await?;
    if grants == SignupGrants::Closed && (change.prime.is_some() || change.coins.is_some()) {
        return Err(Error::RoleRequired("the operator"));
    }
    let user = of(user_id).ok_or(Error::NotFound(Thing::User))?;
    if user.role == Role::Admin && change.role.is_some_and(|role| role != Role::Admin) {
        let has_another: Option<u8> = transaction
            .exec_first(
                "SELECT 1 FROM users WHERE organization_id = ? AND role = 'admin' AND user_id <> ? LIMIT 1",
                (asker.organization_id, user_id),
            )
            .await?;
        has_another.ok_or(Error::LastAdmin)?;
    }
    if change.role.is_some() || change.prime.is_some() {
        transaction
            .exec_drop(
                "UPDATE users SET role = COALESCE(:role, role), prime = COALESCE(:prime, prime)
                 WHERE user_id = :user_id",
                params! { "role" => change.role, "prime" => change.prime, user_id },
            )
            .await?;
    }
    if let Some(grant) = &change.coins {
        coins::grant(transaction, Granter::Admin(&asker.user_id), user_id, user.avail_coins, grant).await?;
    }
    profiles::seen(transaction, asker, user_id).await
}
