//! Sending messages (`docs/contract.md`, "Messages" and "Repeatable sends").

use mysql_async::prelude::FromRow;
use mysql_async::{Row, params};

use crate::app::App;
use crate::base::db::Db;
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::rate_limit::{self, Limited};
use crate::error::Thing;
use crate::messages::batch::{NewMessage, Refusal, Stored};
use crate::messages::draft::{Draft, Sender};
use crate::messages::message::message_columns;
use crate::messages::message::{ClientMessageId, Message, MessageId, MessageKind, MessageRow};
use crate::messages::send_queue::{self, Reply};
use crate::{Error, Result};

/// The outcome of sending.
#[derive(Debug)]
pub struct Sent {
    /// The message, in its present state.
    pub message: Message,
    /// The sockets of the room's members, including the sender's. `None` for a message that the same
    /// sender had already sent: nobody is notified again.
    pub sockets: Option<Vec<ConnectionId>>,
}

impl Sent {
    /// A message that was stored just now.
    pub(crate) fn now(draft: Draft, stored: Stored, sockets: Vec<ConnectionId>) -> Self {
        let Stored { seq, created_at, user_id, name } = stored;
        let message = Message {
            message_id: MessageId { room_id: draft.room_id, seq },
            room_id: draft.room_id,
            seq,
            updated_seq: seq,
            kind: MessageKind::Text,
            user_id,
            name,
            content: draft.content.to_string(),
            is_encrypted: draft.is_encrypted,
            client_message_id: draft.client_message_id,
            reply_to: draft.reply_to,
            attachment: None,
            reactions: Vec::new(),
            created_at,
            edited_at: None,
            deleted: false,
        };
        Self { message, sockets: Some(sockets) }
    }

    /// A message that had already been sent.
    pub(crate) fn before(message: Message) -> Self {
        Self { message, sockets: None }
    }

    /// Whether the message was stored just now.
    pub fn is_new(&self) -> bool {
        self.sockets.is_some()
    }
}

/// How often a send is tried again when it was not decided: the sender's window of `MESSAGE_LIMIT` has just opened, or the
/// sender has just joined the room.
const ATTEMPTS: u32 = 3;

/// Sends a message. Every send counts for `MESSAGE_LIMIT`, even if it is refused. One that is sent counts for
/// the room's `ROOM_POSTS_LIMIT`.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::IdentityMismatch`],
/// [`Error::ClientMessageIdReused`], a 400 for a `replyTo` that names no message of the room,
/// [`Error::RateLimited`], [`Error::Unauthenticated`] for an unknown socket, and [`Error::Overloaded`].
pub async fn send(app: &App, sender: Sender<'_>, draft: Draft) -> Result<Sent> {
    let (db, limits) = (&app.db, &app.config.limits);
    let new = NewMessage::new(sender, draft);
    for _ in 0..ATTEMPTS {
        let (user_id, refusal) = match send_queue::store(app, new.clone()).await? {
            Reply::Stored(stored, sockets) => return Ok(Sent::now(new.draft, stored, sockets)),
            Reply::Refused(_, Refusal::MessageLimit(standing)) => return Err(Error::RateLimited(standing)),
            Reply::Refused(user_id, refusal) => (user_id, refusal),
            Reply::NoWindow(user_id) => {
                // This opens one.
                rate_limit::standing(db, limits, Limited::Message(&user_id)).await?;
                continue;
            }
            Reply::NotAllowed => match why_refused(db, sender, &new.draft).await? {
                (user_id, Some(error)) => {
                    rate_limit::count(db, limits, Limited::Message(&user_id)).await?;
                    return Err(error);
                }
                (_, None) => continue,
            },
        };
        rate_limit::count(db, limits, Limited::Message(&user_id)).await?;
        return match refusal {
            Refusal::IdentityMismatch => Err(Error::IdentityMismatch),
            Refusal::NoSuchReply => Err(Error::invalid("replyTo", "names no message of this room")),
            Refusal::MessageLimit(standing) | Refusal::PostsLimit(standing) => {
                Err(Error::RateLimited(standing))
            }
            Refusal::SentBefore => {
                let Draft { room_id, client_message_id: Some(id), .. } = &new.draft else {
                    return Err(Error::ClientMessageIdReused);
                };
                let message = sent_before(db, &user_id, *room_id, id, &new.draft.body_hash()).await?;
                message.map(Sent::before).ok_or(Error::ClientMessageIdReused)
            }
        };
    }
    Err(Error::internal("a message was not decided three times"))
}

/// Returns which user may not send, and why. This is looked up afterwards, because it is rarely needed. If the reason is
/// `None`, there is none any more.
async fn why_refused(db: &Db, sender: Sender<'_>, draft: &Draft) -> Result<(UserId, Option<Error>)> {
    let (session_id, socket) = match sender {
        Sender::User(user) => (Some(&user.session_id), None),
        Sender::Socket(socket) => (None, Some(socket)),
    };
    let found: Option<(UserId, bool, bool)> = db
        .first(
            "SELECT u.user_id, r.id IS NOT NULL, m.user_id IS NOT NULL
             FROM users u LEFT JOIN rooms r ON r.organization_id = u.organization_id AND r.id = :room_id
                                            AND (:only IS NULL OR r.kind = :only)
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = u.user_id
             WHERE u.user_id = COALESCE(
                 (SELECT s.user_id FROM sessions s WHERE s.session_id = :session_id AND s.revoked_at IS NULL),
                 (SELECT c.user_id FROM connections c
                  WHERE c.connection_id = :socket AND c.expires_at > UTC_TIMESTAMP(3)))",
            params! { "room_id" => draft.room_id, "only" => draft.only, session_id, socket },
        )
        .await?;
    let (user_id, room_is_there, is_member) = found.ok_or(Error::Unauthenticated)?;
    let reason = match &draft.user_id {
        Some(given) if *given != user_id => Some(Error::IdentityMismatch),
        _ if !room_is_there => Some(Error::NotFound(Thing::Room)),
        _ if !is_member => Some(Error::NotAMember),
        _ => None,
    };
    Ok((user_id, reason))
}

/// Returns the message, in its present state, that a member of the room sent earlier with this
/// `clientMessageId`.
///
/// # Errors
/// [`Error::ClientMessageIdReused`] when that message had another body.
pub(crate) async fn sent_before(
    db: &Db,
    user_id: &UserId,
    room_id: RoomId,
    id: &ClientMessageId,
    body_hash: &[u8],
) -> Result<Option<Message>> {
    let row: Option<Row> = db
        .first(
            concat!(
                "SELECT ",
                message_columns!("x.sender_id"),
                ", x.body_hash = ? AS is_same
                 FROM messages x JOIN users u ON u.user_id = x.sender_id
                 JOIN room_members m ON m.room_id = x.room_id AND m.user_id = x.sender_id
                 WHERE x.room_id = ? AND x.sender_id = ? AND x.client_message_id = ?"
            ),
            (body_hash, room_id, user_id, id),
        )
        .await?;
    match row {
        Some(row) if row.get("is_same") != Some(true) => Err(Error::ClientMessageIdReused),
        row => Ok(row.map(|row| MessageRow::from_row(row).message())),
    }
}
