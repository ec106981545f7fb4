//! System messages: the entries for joins, leaves, removals and changes of the room in the history.

use mysql_async::params;
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::base::ids::UserId;
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::rooms::room::Room;

/// A change of the membership that a system message is about; its `content`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MembershipChange {
    Joined,
    Left,
    Removed,
}

/// Stores a system message in a room that the caller has locked, adjusts the member count, and updates
/// `room`. Returns the message's number. A direct chat has no system messages.
pub(crate) async fn note(
    transaction: &mut Transaction,
    room: &mut Room,
    user_id: &UserId,
    notice: MembershipChange,
) -> Result<u64> {
    let content = match notice {
        MembershipChange::Joined => {
            room.member_count += 1;
            "joined"
        }
        MembershipChange::Left => {
            room.member_count -= 1;
            "left"
        }
        MembershipChange::Removed => {
            room.member_count -= 1;
            "removed"
        }
    };
    write(transaction, room, user_id, content).await
}

/// Stores a system message with this `content` in a room that the caller has locked, and updates `room`. Returns the
/// message's number.
pub(crate) async fn write(
    transaction: &mut Transaction,
    room: &mut Room,
    user_id: &UserId,
    content: &str,
) -> Result<u64> {
    room.last_seq += 1;
    room.updated_at = time::now();
    transaction
        .exec_drop(
            "UPDATE rooms SET last_seq = ?, member_count = ?, updated_at = ? WHERE id = ?",
            (room.last_seq, room.member_count, room.updated_at, room.id),
        )
        .await?;
    transaction
        .exec_drop(
            "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
             VALUES (:room_id, :seq, :seq, 'system', :user_id, :content, :now)",
            params! { "room_id" => room.id, "seq" => room.last_seq, user_id, content, "now" => room.updated_at },
        )
        .await?;
    Ok(room.last_seq)
}
