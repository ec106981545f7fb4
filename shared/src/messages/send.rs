//! Sending messages (`docs/contract.md`, "Messages" and "Repeatable sends").

use std::collections::HashMap;

use mysql_async::prelude::FromRow;
use mysql_async::{Row, Value, params};

use crate::app::App;
use crate::base::db::{Db, places};
use crate::base::ids::{RoomId, UserId};
use crate::base::rate_limit::{self, Limited};
use crate::base::socket::Socket;
use crate::error::Thing;
use crate::messages::batch::{Refusal, Stored};
use crate::messages::draft::{Draft, Sender};
use crate::messages::mentions;
use crate::messages::message::message_columns;
use crate::messages::message::{ClientMessageId, Message, MessageId, MessageKind, MessageRow};
use crate::messages::send_queue::{self, Reply};
use crate::messages::senders::NewMessages;
use crate::rooms::room::Room;
use crate::{Error, Result};

/// The outcome of sending.
#[derive(Debug)]
pub struct Sent {
    /// The message, in its present state.
    pub message: Message,
    /// The sockets of the room's members, including the sender's. `None` for a message that the same
    /// sender had already sent: nobody is notified again.
    pub sockets: Option<Vec<Socket>>,
    /// The room, if the message created it: its members do not know it yet.
    pub room: Option<Room>,
}

impl Sent {
    /// A message that had already been sent.
    pub(crate) fn before(message: Message) -> Self {
        Self { message, sockets: None, room: None }
    }

    /// Whether the message was stored just now.
    pub fn is_new(&self) -> bool {
        self.sockets.is_some()
    }
}

/// The outcome of sending several messages.
#[derive(Debug)]
pub struct SentList {
    /// The messages, in the order of the request and in their present state.
    pub messages: Vec<Message>,
    /// As in [`Sent`].
    pub sockets: Option<Vec<Socket>>,
}

impl SentList {
    /// Messages that were stored just now.
    pub(crate) fn now(draft: Draft, stored: Stored, sockets: Vec<Socket>) -> Self {
        let Stored { seq, created_at, user_id, name, quoted } = stored;
        let room_id = draft.room_id;
        let messages =
            draft.messages.into_iter().zip(quoted).zip(seq..).map(|((words, quoted), seq)| Message {
                message_id: MessageId { room_id, seq },
                room_id,
                seq,
                updated_seq: seq,
                kind: MessageKind::Text,
                user_id: user_id.clone(),
                name: name.clone(),
                content: words.content.to_string(),
                is_encrypted: words.is_encrypted,
                client_message_id: words.client_message_id,
                reply_to: words.reply_to,
                quoted,
                reply_count: 0,
                mentions: words.mentions.0,
                mentions_all: words.mentions_all,
                attachment: None,
                reactions: Vec::new(),
                created_at,
                edited_at: None,
                deleted: false,
            });
        Self { messages: messages.collect(), sockets: Some(sockets) }
    }

    /// Whether the messages were stored just now.
    pub fn is_new(&self) -> bool {
        self.sockets.is_some()
    }

    /// Returns the only message.
    pub(crate) fn only(mut self) -> Result<Sent> {
        let message = self.messages.pop().ok_or_else(|| Error::internal("no message was sent"))?;
        Ok(Sent { message, sockets: self.sockets, room: None })
    }
}

/// How often a send is tried again when it was not decided: the sender's window of `MESSAGE_LIMIT` has just opened, or the
/// sender has just joined the room.
const ATTEMPTS: u32 = 3;

/// Sends one message, as [`send_list`] does.
///
/// # Errors
/// Those of [`send_list`].
pub async fn send(app: &App, sender: Sender<'_>, draft: Draft) -> Result<Sent> {
    send_list(app, sender, draft).await?.only()
}

/// Sends the messages of a draft: all, in their order and with consecutive numbers, or none. Every message counts for
/// `MESSAGE_LIMIT`, even if it is refused. One that is sent counts for the room's `ROOM_POSTS_LIMIT`.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::IdentityMismatch`],
/// [`Error::ClientMessageIdReused`], [`Error::RoomRoleRequired`] for `mentionsAll`, a 400 for a `replyTo` that names no
/// message of the room, for `mentions` of others than its members and for more messages than `MESSAGE_LIMIT` allows at
/// once, [`Error::RateLimited`], [`Error::Unauthenticated`] for an unknown socket, and [`Error::Overloaded`].
pub async fn send_list(app: &App, sender: Sender<'_>, draft: Draft) -> Result<SentList> {
    let (db, limits) = (&app.db, &app.config.limits);
    let number = draft.messages.len() as u32;
    let new = NewMessages::new(sender, draft);
    for _ in 0..ATTEMPTS {
        let (user_id, refusal) = match send_queue::store(app, new.clone()).await? {
            Reply::Stored(stored, sockets) => return Ok(SentList::now(new.draft, stored, sockets)),
            Reply::Refused(_, Refusal::MessageLimit(standing)) if standing.limit < number => {
                let most = format!("must be at most {}, which MESSAGE_LIMIT allows at once", standing.limit);
                return Err(Error::invalid("messages", most));
            }
            Reply::Refused(_, Refusal::MessageLimit(standing)) => return Err(Error::RateLimited(standing)),
            Reply::Refused(user_id, refusal) => (user_id, refusal),
            Reply::NoWindow(user_id) => {
                // This opens one.
                rate_limit::standing(db, limits, Limited::Message(&user_id)).await?;
                continue;
            }
            Reply::NotAllowed => match why_refused(db, sender, &new.draft).await? {
                (user_id, Some(error)) => {
                    rate_limit::count_many(db, limits, Limited::Message(&user_id), number).await?;
                    return Err(error);
                }
                (_, None) => continue,
            },
        };
        rate_limit::count_many(db, limits, Limited::Message(&user_id), number).await?;
        let Refusal::SentBefore = refusal else { return Err(refusal.error(&new.draft)) };
        let messages = &new.draft.messages;
        let own =
            messages.iter().filter_map(|words| Some((words.client_message_id.as_ref()?, words.body_hash())));
        let found = all_sent_before(db, &user_id, new.draft.room_id, &own.collect::<Vec<_>>()).await?;
        // If only some of them were sent, the request is another one than before.
        if found.len() < messages.len() {
            return Err(Error::ClientMessageIdReused);
        }
        return Ok(SentList { messages: found, sockets: None });
    }
    Err(Error::internal("a message was not decided three times"))
}

impl Refusal {
    /// Returns the error for a draft that is refused.
    pub(crate) fn error(self, draft: &Draft) -> Error {
        match self {
            Self::IdentityMismatch => Error::IdentityMismatch,
            Self::MessageLimit(standing) | Self::PostsLimit(standing) => Error::RateLimited(standing),
            Self::NoSuchReply(place) => {
                Error::invalid(draft.field(place, "replyTo"), "names no message of this room")
            }
            Self::SentBefore => Error::ClientMessageIdReused,
            Self::SlowMode(standing) => Error::SlowMode(standing),
            Self::MentionsAll(error) => error,
            Self::NoMember(place, user_id) => {
                Error::invalid(draft.field(place, "mentions"), mentions::no_member(&user_id))
            }
        }
    }
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
    Ok(all_sent_before(db, user_id, room_id, &[(id, body_hash)]).await?.pop())
}

/// Returns those messages that a member of the room sent earlier with one of these `clientMessageId`s, in the order of
/// the ids.
///
/// # Errors
/// [`Error::ClientMessageIdReused`] when one of them had another body.
async fn all_sent_before<H: AsRef<[u8]>>(
    db: &Db,
    user_id: &UserId,
    room_id: RoomId,
    ids: &[(&ClientMessageId, H)],
) -> Result<Vec<Message>> {
    let sql = format!(
        concat!(
            "SELECT ",
            message_columns!("x.sender_id"),
            ", x.body_hash FROM room_members m FORCE INDEX (PRIMARY)
             STRAIGHT_JOIN messages x FORCE INDEX (messages_client_message_id)
               ON x.room_id = m.room_id AND x.sender_id = m.user_id
             STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id
             WHERE m.room_id = ? AND m.user_id = ? AND x.client_message_id IN ({})"
        ),
        places(ids.len())
    );
    let mut params: Vec<Value> = vec![room_id.into(), user_id.into()];
    params.extend(ids.iter().map(|(id, _)| Value::from(*id)));
    let rows: Vec<Row> = db.rows(&sql, params).await?;
    let mut found = HashMap::new();
    for row in rows {
        let body_hash: Option<Vec<u8>> = row.get("body_hash").flatten();
        let message = MessageRow::from_row(row).message();
        if let Some(id) = message.client_message_id.clone() {
            found.insert(id, (message, body_hash));
        }
    }
    let mut messages = Vec::with_capacity(found.len());
    for (id, hash) in ids {
        match found.remove(*id) {
            Some((message, Some(body_hash))) if body_hash == hash.as_ref() => messages.push(message),
            Some(_) => return Err(Error::ClientMessageIdReused),
            None => {}
        }
    }
    Ok(messages)
}
