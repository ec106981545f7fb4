//! Organizations: the tenants. Nothing of one is visible in another (`docs/contract.md`, "Organizations").
//!
//! Registering under a new name creates the organization and makes the user its admin. To enter an
//! organization that exists, a user names it and, while grants are closed, also gives its join code.

use mysql_async::params;
use mysql_async::prelude::{FromRow, Queryable};

use crate::base::db::Db;
use crate::base::sha256::sha256;
use crate::base::text::{key, line, text_type};
use crate::base::time;
use crate::base::tokens::{IssuedToken, random_token};
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::config::SignupGrants;
use crate::people::sessions;
use crate::people::users::{self, Name};
use crate::{Error, Result};

/// The built-in organization `public`, which the first migration creates. Everybody may enter it.
pub const PUBLIC: u64 = 1;

text_type!(
    /// Whatever was sent as a join code; a wrong one lets nobody in.
    JoinCode, |code| line(code, 1..=1024)
);

/// An organization that exists. Organizations are never deleted.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: u64,
    /// The hash of its current join code, if it has one.
    code_hash: Option<Vec<u8>>,
}

impl Known {
    /// The built-in organization.
    pub(crate) const PUBLIC: Self = Self { id: PUBLIC, code_hash: None };

    /// Checks whether a registration with this code gets in, as far as can be told without a lock.
    ///
    /// # Errors
    /// [`Error::OrganizationClosed`] when it does not.
    pub(crate) fn admits(&self, grants: SignupGrants, code: Option<&JoinCode>) -> Result<()> {
        let hash = code.map(|code| hash(code.as_str()));
        match grants == SignupGrants::Open || self.id == PUBLIC || (hash.is_some() && hash == self.code_hash)
        {
            true => Ok(()),
            false => Err(Error::OrganizationClosed),
        }
    }
}

/// Returns the organization with this name, if there is one.
///
/// # Errors
/// The database's errors.
pub(crate) async fn named(db: &Db, name: &Name) -> Result<Option<Known>> {
    let found: Option<(u64, Option<Vec<u8>>)> = db
        .first(
            "SELECT o.id, j.code_hash FROM organizations o LEFT JOIN join_codes j ON j.organization_id = o.id
             WHERE o.name_key = ?",
            (key(name.as_str()),),
        )
        .await?;
    Ok(found.map(|(id, code_hash)| Known { id, code_hash }))
}

/// The organization that a registration entered.
pub(crate) struct Entered {
    pub(crate) organization_id: u64,
    /// The user's role there.
    pub(crate) role: Role,
    /// The new organization's join code, for the user who created it.
    pub(crate) join_code: Option<IssuedToken>,
}

/// Lets a registration into `public`, into the organization that it names, or into a new one of that name.
/// When several registrations name the same new organization at once, the first creates it and the others
/// find that it exists.
///
/// # Errors
/// [`Error::OrganizationClosed`] without the organization's join code while grants are closed,
/// [`Error::RoleNotAllowed`] for a role above `user` in an organization that exists.
pub(crate) async fn enter(
    transaction: &mut Transaction,
    grants: SignupGrants,
    (name, known): (Option<&Name>, Option<u64>),
    (code, role): (Option<&JoinCode>, Option<Role>),
) -> Result<Entered> {
    let organization_id = match (name, known) {
        (None, _) => PUBLIC,
        (Some(_), Some(id)) => id,
        (Some(name), None) => match make(transaction, name).await? {
            Made::Now(organization_id) => {
                let join_code = Some(give_code(transaction, organization_id).await?);
                return Ok(Entered { organization_id, role: Role::Admin, join_code });
            }
            Made::Before(id) => id,
        },
    };
    if grants == SignupGrants::Closed && organization_id != PUBLIC {
        opens(transaction, organization_id, code).await?;
    }
    match role {
        None | Some(Role::User) => Ok(Entered { organization_id, role: Role::User, join_code: None }),
        Some(_) => Err(Error::RoleNotAllowed),
    }
}

enum Made {
    Now(u64),
    Before(u64),
}

async fn make(transaction: &mut Transaction, name: &Name) -> Result<Made> {
    // A second registration waits here until the first one commits, and then finds its row.
    transaction
        .exec_drop(
            "INSERT INTO organizations (name, name_key, created_at) VALUES (?, ?, ?)
             ON DUPLICATE KEY UPDATE name_key = name_key",
            (name.as_str().trim(), key(name.as_str()), time::now()),
        )
        .await?;
    if transaction.affected_rows() == 1 {
        let id = transaction.last_insert_id();
        return id.map(Made::Now).ok_or_else(|| Error::internal("a new organization has no id"));
    }
    let id: Option<u64> = transaction
        .exec_first(
            "SELECT id FROM organizations WHERE name_key = ? LOCK IN SHARE MODE",
            (key(name.as_str()),),
        )
        .await?;
    id.map(Made::Before).ok_or_else(|| Error::internal("an organization is neither new nor there"))
}

/// Checks that this is the organization's current join code, and keeps it so until the transaction ends:
/// the code may have been renewed while the password was being hashed.
async fn opens(transaction: &mut Transaction, organization_id: u64, code: Option<&JoinCode>) -> Result<()> {
    let code = code.ok_or(Error::OrganizationClosed)?;
    let found: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM organizations o STRAIGHT_JOIN join_codes j ON j.organization_id = o.id
             WHERE o.id = ? AND j.code_hash = ? LOCK IN SHARE MODE",
            (organization_id, hash(code.as_str())),
        )
        .await?;
    found.map(drop).ok_or(Error::OrganizationClosed)
}

/// Creates a new join code for the admin's organization; the previous code is void at once.
///
/// # Errors
/// [`Error::RoleRequired`] unless the user is its admin, [`Error::OrganizationOpen`] for `public`.
pub async fn renew_join_code(db: &Db, admin: &User) -> Result<IssuedToken> {
    db.transaction(admin, renew).await
}

async fn renew(transaction: &mut Transaction, admin: &User) -> Result<IssuedToken> {
    if rank(transaction, admin).await?.role != Role::Admin {
        return Err(users::ADMINS);
    }
    if admin.organization_id == PUBLIC {
        return Err(Error::OrganizationOpen);
    }
    sessions::still_signed_in(transaction, admin, None).await?;
    give_code(transaction, admin.organization_id).await
}

async fn give_code(transaction: &mut Transaction, organization_id: u64) -> Result<IssuedToken> {
    let code = random_token::<32>();
    transaction
        .exec_drop(
            "INSERT INTO join_codes (organization_id, code_hash, created_at) VALUES (:organization_id, :hash, :now)
             ON DUPLICATE KEY UPDATE code_hash = :hash, created_at = :now",
            params! { organization_id, "hash" => hash(&code), "now" => time::now() },
        )
        .await?;
    Ok(code.into())
}

fn hash(code: &str) -> Vec<u8> {
    sha256(&[code.as_bytes()])
}

/// What a user is in the organization.
#[derive(Clone, Copy, Debug, FromRow)]
pub(crate) struct Rank {
    pub(crate) role: Role,
    pub(crate) prime: bool,
}

/// Returns a user's current role in the organization and whether they are prime, whatever these were when
/// the request began. Neither can change until the transaction ends. The organization's row is locked
/// first, since everything that is created in the organization needs that lock too, and so does every
/// change of a role.
///
/// # Errors
/// The database's errors.
pub(crate) async fn rank(transaction: &mut Transaction, user: &User) -> Result<Rank> {
    let rank: Option<Rank> = transaction
        .exec_first(
            "SELECT u.role, u.prime FROM organizations o STRAIGHT_JOIN users u ON u.organization_id = o.id
             WHERE o.id = ? AND u.user_id = ? LOCK IN SHARE MODE",
            (user.organization_id, &user.user_id),
        )
        .await?;
    rank.ok_or(Error::Unauthenticated)
}

/// Locks an organization's row as [`rank`] does, for callers that lock its users with a statement of their
/// own.
///
/// # Errors
/// The database's errors.
pub(crate) async fn share(transaction: &mut Transaction, organization_id: u64) -> Result<()> {
    let sql = "SELECT 1 FROM organizations WHERE id = ? LOCK IN SHARE MODE";
    Ok(transaction.exec_drop(sql, (organization_id,)).await?)
}

/// Locks an organization until the transaction ends. Every change of a role in it takes this lock first, so
/// that its last two admins cannot both step down at once.
///
/// # Errors
/// The database's errors.
pub(crate) async fn lock(transaction: &mut Transaction, organization_id: u64) -> Result<()> {
    transaction.exec_drop("SELECT 1 FROM organizations WHERE id = ? FOR UPDATE", (organization_id,)).await?;
    Ok(())
}
