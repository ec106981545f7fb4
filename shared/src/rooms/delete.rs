//! Deleting rooms and erasing their contents (`docs/contract.md`, "Deleting a room").

use mysql_async::prelude::Queryable;

use crate::base::db::Db;
use crate::base::ids::{RoomId, UserId};
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::people::sessions;
use crate::people::users;
use crate::rooms::room::lock;
use crate::rooms::room::{self, Room, RoomKind, RoomRole};
use crate::{Error, Result};

/// Deletes a prime room or a group for its owner. Returns its former members. [`erase`] removes its
/// contents.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::DirectChat`], and [`Error::RoomRoleRequired`] for
/// members who are not the owner, and for everybody when the room is a channel.
pub async fn delete(db: &Db, user: &User, room_id: RoomId) -> Result<Vec<UserId>> {
    db.transaction_in(room_id, (user, room_id), delete_own).await
}

async fn delete_own(transaction: &mut Transaction, (user, room_id): (&User, RoomId)) -> Result<Vec<UserId>> {
    let room = lock(transaction, user.organization_id, room_id).await?;
    sessions::still_signed_in(transaction, user, None).await?;
    let role: Option<RoomRole> = transaction
        .exec_first(
            "SELECT role FROM room_members WHERE room_id = ? AND user_id = ? LOCK IN SHARE MODE",
            (room_id, &user.user_id),
        )
        .await?;
    match (room.kind, role) {
        (_, None) => Err(Error::NotAMember),
        (RoomKind::Channel, Some(_)) => Err(Error::RoomRoleRequired(
            "organization: its admins delete channels, with DELETE /api/chat/{roomId}",
        )),
        (RoomKind::Direct, Some(_)) => Err(Error::DirectChat),
        (RoomKind::Prime | RoomKind::Group, Some(RoomRole::Owner)) => close(transaction, &room).await,
        (RoomKind::Prime | RoomKind::Group, Some(_)) => Err(Error::RoomRoleRequired("owner")),
    }
}

/// Deletes a channel. Returns its former members. [`erase`] removes its contents.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such channel, [`Error::RoleRequired`] unless the
/// user is an admin.
pub async fn delete_channel(db: &Db, admin: &User, room_id: RoomId) -> Result<Vec<UserId>> {
    db.transaction_in(room_id, (admin, room_id), close_channel).await
}

async fn close_channel(
    transaction: &mut Transaction,
    (admin, room_id): (&User, RoomId),
) -> Result<Vec<UserId>> {
    let room = room::lock(transaction, admin.organization_id, room_id).await?;
    if room.kind != RoomKind::Channel {
        return Err(Error::NotFound(Thing::Room));
    }
    users::still_admin(transaction, admin).await?;
    sessions::still_signed_in(transaction, admin, None).await?;
    close(transaction, &room).await
}

/// Detaches a room that the caller has locked from its organization and removes its members, so that
/// nobody can find it any more. Coins paid for it are not refunded. Returns its former members.
///
/// # Errors
/// Any error of the database.
pub(crate) async fn close(transaction: &mut Transaction, room: &Room) -> Result<Vec<UserId>> {
    let room_id = room.id;
    if room.avatar_url.is_some() {
        // The sweep erases it.
        let sql =
            "INSERT INTO unused_avatars (avatar_key, since) SELECT avatar_key, ? FROM rooms WHERE id = ?";
        transaction.exec_drop(sql, (time::now(), room_id)).await?;
    }
    let members = transaction.exec("SELECT user_id FROM room_members WHERE room_id = ?", (room_id,)).await?;
    transaction.exec_drop("DELETE FROM room_members WHERE room_id = ?", (room_id,)).await?;
    transaction
        .exec_drop(
            "UPDATE rooms SET organization_id = NULL, member_count = 0, avatar_key = NULL WHERE id = ?",
            (room_id,),
        )
        .await?;
    Ok(members)
}

/// How many messages one statement erases: few enough that it holds no lock for long.
const ERASED_AT_ONCE: u64 = 2000;
/// How many such statements the request that deleted the room runs.
const ERASURES: usize = 10;

/// Erases the contents of a room that was just deleted, as far as that is quick. The sweep erases the
/// rest. If this fails, the sweep erases everything: the room is gone either way.
pub async fn erase(db: &Db, room_id: RoomId) {
    if let Err(error) = erase_some(db, room_id, ERASURES).await {
        error.log();
    }
}

/// Erases a deleted room, messages first, with at most `statements` statements. Returns whether that was
/// enough. A single statement for everything could run longer than a function may.
///
/// # Errors
/// Any error of the database.
pub(crate) async fn erase_some(db: &Db, room_id: RoomId, statements: usize) -> Result<bool> {
    let messages = "DELETE FROM messages WHERE room_id = ? ORDER BY seq LIMIT ?";
    for _ in 0..statements {
        if db.execute(messages, (room_id, ERASED_AT_ONCE)).await?.affected_rows < ERASED_AT_ONCE {
            // The room's invitations are deleted with it, by their foreign key.
            db.execute("DELETE FROM rooms WHERE id = ? AND organization_id IS NULL", (room_id,)).await?;
            return Ok(true);
        }
    }
    Ok(false)
}
