//! Revisions: editing and deleting a message (`docs/contract.md`, "Editing and deleting a message").

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, params};
use serde::Deserialize;

use crate::base::db::Db;
use crate::base::fields::{Flag, Request};
use crate::base::ids::{ConnectionId, RoomId};
use crate::base::text::text_type;
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::error::Thing;
use crate::messages::mentions::{self, Mentioning, Mentions};
use crate::messages::message::message_columns;
use crate::messages::message::{Content, Message, MessageId, MessageKind, MessageRow, NamedMessage};
use crate::people::sessions;
use crate::rooms::room::{self, Room, RoomKind, RoomRole};
use crate::{Error, Result};

text_type!(
    /// The new content of a message, as a [`Content`], or empty: a file's caption may be taken away.
    NewContent, |content| match content.is_empty() {
        true => Ok(content),
        false => Content::try_from(content).map(|content| content.to_string()),
    }
);

/// A request to replace the text of a message, and whom it mentions if that is given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Edit {
    pub content: NewContent,
    pub mentions: Option<Mentions>,
    pub mentions_all: Option<Flag>,
}

impl Request for Edit {}

/// A message after a request to revise it.
#[derive(Debug)]
pub struct Revised {
    /// The message as it is now. Its `updated_seq` is the number of its last change.
    pub message: Message,
    /// Whether anything changed that the members must be notified of.
    pub changed: bool,
}

/// Replaces the content and the mentions of a message, for its sender. An edit that changes neither takes no number. `by`
/// is the socket that the request came from, if it came from one.
///
/// # Errors
/// [`Error::NotFound`] for a message that is unknown, deleted or of another organization,
/// [`Error::NotAMember`], [`Error::NotSender`], [`Error::RoomRoleRequired`] for a new `mentionsAll`, and a 400 for a
/// system message, for a text that would be empty and for new `mentions` of others than the room's members.
pub async fn edit(
    db: &Db,
    user: &User,
    by: Option<&ConnectionId>,
    named: NamedMessage,
    edit: &Edit,
) -> Result<Revised> {
    let message_id = named.id()?;
    db.transaction_in(message_id.room_id, (user, by, message_id, edit), change).await
}

async fn change(
    transaction: &mut Transaction,
    (user, by, message_id, edit): (&User, Option<&ConnectionId>, MessageId, &Edit),
) -> Result<Revised> {
    let Found { mut room, mut message, room_role, .. } = find(transaction, user, by, message_id).await?;
    if message.deleted {
        return Err(Error::NotFound(Thing::Message));
    }
    if message.user_id != user.user_id {
        return Err(Error::NotSender);
    }
    if message.kind != MessageKind::File {
        Content::try_from(edit.content.to_string()).map_err(|wrong| Error::invalid("content", wrong))?;
    }
    let old = Mentions(std::mem::take(&mut message.mentions));
    let mentions = edit.mentions.as_ref().unwrap_or(&old);
    let mentions_all = edit.mentions_all.map_or(message.mentions_all, |Flag(all)| all);
    let mentions_others = *mentions != old || mentions_all != message.mentions_all;
    if message.content == edit.content.as_str() && !mentions_others {
        return Ok(Revised { message: Message { mentions: old.0, ..message }, changed: false });
    }
    if mentions_all && !message.mentions_all {
        mentions::check_role(room.kind, room_role)?;
    }
    if mentions_others {
        let Message { message_id: id, user_id: ref sender_id, created_at, .. } = message;
        let new = Mentioning { id, sender_id, created_at, mentions, mentions_all };
        mentions::replace(transaction, &old, new).await?;
    }
    let stored = mentions.to_store()?;
    message.mentions.clone_from(&mentions.0);
    message.mentions_all = mentions_all;
    message.content = edit.content.to_string();
    message.edited_at = Some(time::now());
    message.updated_seq = room::next_seq(transaction, &mut room).await?;
    transaction
        .exec_drop(
            "UPDATE messages SET content = :content, edited_at = :edited_at, updated_seq = :updated_seq,
                                 mentions = :stored, mentions_all = :mentions_all
             WHERE room_id = :room_id AND seq = :seq",
            params! {
                "content" => &message.content,
                "edited_at" => message.edited_at,
                "updated_seq" => message.updated_seq,
                stored,
                mentions_all,
                "room_id" => message.room_id,
                "seq" => message.seq,
            },
        )
        .await?;
    Ok(Revised { message, changed: true })
}

/// Deletes a message. It keeps its place in the history, without its contents. The sender may delete it,
/// and so may those who moderate the room. Deleting it again changes nothing. `by` is the socket that the
/// request came from, if it came from one.
///
/// # Errors
/// [`Error::NotFound`] for a message that is unknown or of another organization,
/// [`Error::NotAMember`], [`Error::RoomRoleRequired`], and a 400 for a system message.
pub async fn delete(db: &Db, user: &User, by: Option<&ConnectionId>, named: NamedMessage) -> Result<Revised> {
    let message_id = named.id()?;
    db.transaction_in(message_id.room_id, (user, by, message_id), empty).await
}

async fn empty(
    transaction: &mut Transaction,
    (user, by, message_id): (&User, Option<&ConnectionId>, MessageId),
) -> Result<Revised> {
    let Found { mut room, mut message, room_role, role } = find(transaction, user, by, message_id).await?;
    let keeps_order = match (room_role, role) {
        // In a direct chat neither user ranks above the other, whoever started it.
        _ if room.kind == RoomKind::Direct => false,
        (RoomRole::Owner | RoomRole::Moderator, _) => true,
        (RoomRole::Member, Role::Admin | Role::Moderator) => room.kind == RoomKind::Channel,
        (RoomRole::Member, Role::User) => false,
    };
    if !keeps_order && message.user_id != user.user_id {
        return Err(Error::RoomRoleRequired(match room.kind {
            RoomKind::Channel => {
                "owner and moderators, the organization's moderators and admins, and the message's sender"
            }
            RoomKind::Direct => "sender of the message",
            _ => "owner and moderators, and the message's sender",
        }));
    }
    if message.deleted {
        return Ok(Revised { message, changed: false });
    }
    message.updated_seq = room::next_seq(transaction, &mut room).await?;
    message.deleted = true;
    // Everything attached to a message is deleted with it, here and below.
    message.content = String::new();
    message.attachment = None;
    transaction
        .exec_drop(
            "UPDATE messages SET content = '', reactions = NULL, mentions = NULL, mentions_all = FALSE, deleted_at = ?,
                                 updated_seq = ?
             WHERE room_id = ? AND seq = ?",
            (time::now(), message.updated_seq, message.room_id, message.seq),
        )
        .await?;
    clear_reactions(transaction, &mut message).await?;
    if !message.mentions.is_empty() || message.mentions_all {
        (message.mentions, message.mentions_all) = (Vec::new(), false);
        mentions::forget(transaction, message_id).await?;
    }
    if message.kind == MessageKind::File {
        release_upload(transaction, message.room_id, message.seq).await?;
    }
    Ok(Revised { message, changed: true })
}

/// A message, the locked room that it is in, and the user's roles.
pub(crate) struct Found {
    pub(crate) room: Room,
    pub(crate) message: Message,
    room_role: RoomRole,
    role: Role,
}

/// Locks the room of a message and finds the message for one of the room's members. Membership is checked
/// first, so that other users do not learn which messages the room has.
pub(crate) async fn find(
    transaction: &mut Transaction,
    user: &User,
    by: Option<&ConnectionId>,
    message_id: MessageId,
) -> Result<Found> {
    let room = room::lock(transaction, user.organization_id, message_id.room_id).await;
    let room = room.map_err(|error| match error {
        Error::NotFound(Thing::Room) => Error::NotFound(Thing::Message),
        error => error,
    })?;
    sessions::still_signed_in(transaction, user, by).await?;
    // This is the transaction's first read without a lock, so it sees everything committed before the
    // lock was granted.
    let row: Option<Row> = transaction
        .exec_first(
            concat!(
                "SELECT m.role AS room_role, a.role, x.seq IS NOT NULL AS is_there, ",
                message_columns!("m.user_id"),
                " FROM room_members m STRAIGHT_JOIN users a ON a.user_id = m.user_id
                 LEFT JOIN (messages x STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id)
                        ON x.room_id = m.room_id AND x.seq = :seq
                 WHERE m.room_id = :room_id AND m.user_id = :user_id"
            ),
            params! {
                "seq" => message_id.seq,
                "room_id" => message_id.room_id,
                "user_id" => &user.user_id,
            },
        )
        .await?;
    let row = row.ok_or(Error::NotAMember)?;
    if !row.get("is_there").unwrap_or(false) {
        return Err(Error::NotFound(Thing::Message));
    }
    let (Some(room_role), Some(role)) = (row.get("room_role"), row.get("role")) else {
        return Err(Error::internal("a member without a role"));
    };
    let message = MessageRow::from_row(row).message();
    if message.kind == MessageKind::System {
        return Err(Error::invalid("messageId", "names a notice of the room, which stays as it is"));
    }
    Ok(Found { room, message, room_role, role })
}

/// Removes all reactions from a message, in the transaction that deletes it.
async fn clear_reactions(transaction: &mut Transaction, message: &mut Message) -> Result<()> {
    if message.reactions.is_empty() {
        return Ok(());
    }
    message.reactions = Vec::new();
    let sql = "DELETE FROM reactions WHERE room_id = ? AND seq = ?";
    Ok(transaction.exec_drop(sql, (message.room_id, message.seq)).await?)
}

/// Detaches the file from a message, in the transaction that deletes the message. The sweep erases the
/// file.
async fn release_upload(transaction: &mut Transaction, room_id: RoomId, seq: u64) -> Result<()> {
    let sql = "UPDATE uploads SET room_id = NULL, seq = NULL WHERE room_id = ? AND seq = ?";
    Ok(transaction.exec_drop(sql, (room_id, seq)).await?)
}
