//! Roles in a room: its owner appoints moderators, and passes the ownership (`docs/contract.md`, "Members and roles in a
//! room").

use chrono::NaiveDateTime;
use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Deserializer, de};

use crate::base::db::Db;
use crate::base::fields::{self, Request};
use crate::base::ids::{RoomId, UserId};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::membership::members::{self, Member};
use crate::messages::system;
use crate::people::sessions;
use crate::rooms::room::{self, RoomKind, RoomRole};
use crate::{Error, Result};

/// A role that an owner can give to a member.
#[derive(Clone, Copy, Debug)]
pub struct AssignableRole(RoomRole);

impl<'de> Deserialize<'de> for AssignableRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match fields::string(deserializer)?.as_str() {
            "moderator" => Ok(Self(RoomRole::Moderator)),
            "member" => Ok(Self(RoomRole::Member)),
            _ => Err(de::Error::custom("must be `moderator` or `member`")),
        }
    }
}

/// A request to change a member's role.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "it is the contract's field of its name")]
pub struct MemberUpdate {
    pub role: AssignableRole,
}

impl Request for MemberUpdate {}

/// Makes a member a moderator, or a plain member again. Only the room's owner may. Returns the member.
///
/// # Errors
/// [`Error::NotFound`] for the room or the member, [`Error::NotAMember`], [`Error::DirectChat`],
/// [`Error::RoomRoleRequired`], and a 400 for the owner.
pub async fn set_role(
    db: &Db,
    user: &User,
    room_id: RoomId,
    member: &UserId,
    update: MemberUpdate,
) -> Result<Member> {
    db.transaction_in(room_id, (user, room_id, member, update.role.0), write_role).await
}

async fn write_role(
    transaction: &mut Transaction,
    (user, room_id, member, role): (&User, RoomId, &UserId, RoomRole),
) -> Result<Member> {
    let room = room::lock(transaction, user.organization_id, room_id).await?;
    sessions::still_signed_in(transaction, user, None).await?;
    let ranks = members::ranks(transaction, user, room_id, member).await?;
    let own_role = ranks.own_role.ok_or(Error::NotAMember)?;
    match ranks.member_role {
        _ if room.kind == RoomKind::Direct => return Err(Error::DirectChat),
        _ if own_role != RoomRole::Owner => return Err(Error::RoomRoleRequired("owner")),
        None => return Err(Error::NotFound(Thing::Member)),
        Some(RoomRole::Owner) => return Err(Error::invalid("userId", "is yourself, the owner")),
        Some(_) => {}
    }
    transaction
        .exec_drop(
            "UPDATE room_members SET role = ? WHERE room_id = ? AND user_id = ?",
            (role, room_id, member),
        )
        .await?;
    members::read(transaction, user, room_id, member).await
}

/// A request to pass the ownership of a room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOwner {
    /// The member who becomes the owner.
    pub user_id: UserId,
}

impl Request for NewOwner {}

/// The outcome of passing the ownership of a room.
#[derive(Debug)]
pub struct Passed {
    /// The new owner.
    pub owner: Member,
    /// The number of the change in the room.
    pub seq: u64,
    /// When it was.
    pub passed_at: NaiveDateTime,
}

/// Passes the ownership of a room to another member. The previous owner becomes a moderator.
///
/// # Errors
/// [`Error::NotFound`] for the room or the member, [`Error::NotAMember`], [`Error::DirectChat`],
/// [`Error::RoomRoleRequired`], and a 400 for oneself.
pub async fn pass(db: &Db, user: &User, room_id: RoomId, new: &NewOwner) -> Result<Passed> {
    db.transaction_in(room_id, (user, room_id, &new.user_id), write_owner).await
}

async fn write_owner(
    transaction: &mut Transaction,
    (user, room_id, owner): (&User, RoomId, &UserId),
) -> Result<Passed> {
    let mut room = room::lock(transaction, user.organization_id, room_id).await?;
    sessions::still_signed_in(transaction, user, None).await?;
    let ranks = members::ranks(transaction, user, room_id, owner).await?;
    match (ranks.own_role.ok_or(Error::NotAMember)?, ranks.member_role) {
        _ if room.kind == RoomKind::Direct => return Err(Error::DirectChat),
        (RoomRole::Moderator | RoomRole::Member, _) => return Err(Error::RoomRoleRequired("owner")),
        (RoomRole::Owner, None) => return Err(Error::NotFound(Thing::Member)),
        (RoomRole::Owner, Some(RoomRole::Owner)) => {
            return Err(Error::invalid("userId", "is yourself, the owner"));
        }
        (RoomRole::Owner, Some(_)) => {}
    }
    transaction
        .exec_drop(
            "UPDATE room_members FORCE INDEX (PRIMARY) SET role = IF(user_id = :owner, 'owner', 'moderator')
             WHERE room_id = :room_id AND user_id IN (:owner, :before)",
            params! { owner, room_id, "before" => &user.user_id },
        )
        .await?;
    let seq = system::write(transaction, &mut room, owner, "ownerChanged").await?;
    let owner = members::read(transaction, user, room_id, owner).await?;
    Ok(Passed { owner, seq, passed_at: room.updated_at })
}
