//! Messages: sending them, and the numbers that order them (`docs/contract.md`, "Messages", "Order and
//! numbers" and "Repeatable sends").

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, Transaction, params};

use crate::app::App;
use crate::base::db::{Db, duplicate_key};
use crate::base::fields::{Fields, Flag, Missing, Read};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::rate_limit::{self, Count, Limited};
use crate::base::sha256::sha256;
use crate::base::time;
use crate::base::user::User;
use crate::config::Limits;
use crate::error::Thing;
use crate::messages::message::message_columns;
use crate::messages::message::{ClientMessageId, Content, Message, MessageId, MessageKind, MessageRow};
use crate::messages::posts::{self, PostsCount, count_posts, may_post};
use crate::rooms::room::RoomKind;
use crate::sockets::connections;
use crate::{Error, Result};

/// A message to send.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Draft {
    pub room_id: RoomId,
    /// The only kind of room that the endpoint accepts; `None` for all kinds.
    pub only: Option<RoomKind>,
    pub content: Content,
    pub client_message_id: Option<ClientMessageId>,
    pub is_encrypted: bool,
    pub reply_to: Option<MessageId>,
    pub user_id: Option<UserId>,
}

impl Read for Draft {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Self::read_for(fields, "roomId", None)
    }
}

impl Draft {
    /// Reads a message for the room that the field `room` names. The endpoint may accept only one kind of
    /// room.
    ///
    /// # Errors
    /// [`Missing`] when a field could not be read.
    pub fn read_for(
        fields: &mut Fields,
        room: &str,
        only: Option<RoomKind>,
    ) -> std::result::Result<Self, Missing> {
        let room_id = fields.required(room);
        let words = Words::read_in(fields, room_id.as_ref().ok().copied());
        let user_id = fields.optional("userId");
        Ok(Self { only, user_id: user_id?, ..Self::of(room_id?, words?) })
    }

    /// Makes a draft of these words for a room of any kind.
    pub(crate) fn of(room_id: RoomId, words: Words) -> Self {
        let Words { content, client_message_id, is_encrypted, reply_to } = words;
        Self { room_id, only: None, content, client_message_id, is_encrypted, reply_to, user_id: None }
    }

    /// Hashes what must be the same when a `clientMessageId` is used again. Each part has a fixed length
    /// or is preceded by its length, so that no two drafts yield the same text.
    fn body_hash(&self) -> Vec<u8> {
        let content = self.content.as_str().as_bytes();
        sha256(&[
            &(content.len() as u64).to_be_bytes(),
            content,
            &[u8::from(self.is_encrypted)],
            &self.reply_to.map_or(0, |reply_to| reply_to.seq).to_be_bytes(),
        ])
    }
}

/// The words of a message whose room may not be known yet.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Words {
    pub content: Content,
    pub client_message_id: Option<ClientMessageId>,
    pub is_encrypted: bool,
    pub reply_to: Option<MessageId>,
}

impl Words {
    /// Reads the words. If the room is known, `replyTo` must name a message in it.
    ///
    /// # Errors
    /// [`Missing`] when a field could not be read.
    pub(crate) fn read_in(
        fields: &mut Fields,
        room_id: Option<RoomId>,
    ) -> std::result::Result<Self, Missing> {
        let content = fields.required("content");
        let client_message_id = fields.optional("clientMessageId");
        let is_encrypted = fields.optional("isEncrypted");
        let reply_to = fields.optional::<MessageId>("replyTo");
        if let (Some(room_id), Ok(Some(reply_to))) = (room_id, &reply_to)
            && reply_to.room_id != room_id
        {
            fields.wrong("replyTo", "must be a message of the same room");
        }
        Ok(Self {
            content: content?,
            client_message_id: client_message_id?,
            is_encrypted: is_encrypted?.is_some_and(|Flag(encrypted)| encrypted),
            reply_to: reply_to?,
        })
    }

    /// Makes a draft of these words for a room of any kind.
    ///
    /// # Errors
    /// A 400 for a `replyTo` of another room.
    pub(crate) fn in_room(self, room_id: RoomId) -> Result<Draft> {
        if self.reply_to.is_some_and(|reply_to| reply_to.room_id != room_id) {
            return Err(Error::invalid("replyTo", "must be a message of the same room"));
        }
        Ok(Draft::of(room_id, self))
    }
}

/// The sender: a signed-in user, or the user of a socket.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// Sends over REST. The session was already looked up.
    User(&'a User),
    /// Sends a frame. The statement that takes the number looks up the socket, so that a revoked session
    /// or a removed member is refused at once.
    Socket(&'a ConnectionId),
}

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
    /// A message that had already been sent.
    pub(crate) fn before(message: Message) -> Self {
        Self { message, sockets: None }
    }

    /// Whether the message was stored just now.
    pub fn is_new(&self) -> bool {
        self.sockets.is_some()
    }
}

/// How often a send is retried when it is refused without a visible reason: the sender's window of
/// `MESSAGE_LIMIT` has just opened, or it or the room's of `ROOM_POSTS_LIMIT` has just ended.
const ATTEMPTS: u32 = 3;

/// Sends a message. Every send counts for `MESSAGE_LIMIT`, even if it is refused. One that is sent counts for
/// the room's `ROOM_POSTS_LIMIT`.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::IdentityMismatch`],
/// [`Error::ClientMessageIdReused`], a 400 for a `replyTo` that names no message of the room,
/// [`Error::RateLimited`], and [`Error::Unauthenticated`] for an unknown socket.
pub async fn send(app: &App, sender: Sender<'_>, draft: &Draft) -> Result<Sent> {
    let (db, limits) = (&app.db, &app.config.limits);
    for _ in 0..ATTEMPTS {
        let (user_id, refusal) = match db.transaction((sender, draft, Some(limits)), store).await {
            Ok(Some(stored)) => return stored_message(app, draft, stored).await,
            Ok(None) => why_refused(db, sender, draft).await?,
            // These were found after the number was taken, so the transaction was rolled back.
            Err(error @ (Error::ClientMessageIdReused | Error::InvalidRequest(_))) => {
                (sender.user_id(db).await?, Some(error))
            }
            Err(error) => return Err(error),
        };
        let limited = Limited::Message(&user_id);
        if let Some(refusal) = refusal {
            rate_limit::count(db, limits, limited).await?;
            return match refusal {
                Error::ClientMessageIdReused => {
                    let id = draft.client_message_id.as_ref().ok_or(Error::ClientMessageIdReused)?;
                    let message = sent_before(db, &user_id, draft.room_id, id, &draft.body_hash()).await?;
                    message.map(Sent::before).ok_or(Error::ClientMessageIdReused)
                }
                refusal => Err(refusal),
            };
        }
        rate_limit::has_room(db, limits, limited).await?;
        if let Some(standing) = posts::refusal(db, limits.room_posts, draft.room_id).await? {
            rate_limit::count(db, limits, limited).await?;
            return Err(Error::RateLimited(standing));
        }
    }
    Err(Error::internal("a message was refused by its limit three times while the limit had room"))
}

/// Takes a room's next number for a signed-in user who may send, and counts the send.
///
/// The room comes first. The statement locks every row that it joins, in this order; with another row
/// first it would deadlock with joins. The window comes last, because whoever holds its lock waits for no
/// other room. Without a limit `:window` is NULL: no window is joined or locked, and none is full.
/// `LAST_INSERT_ID(…)` returns the number. The room's posts are counted in its own row.
const TAKE_NUMBER_FOR_USER: &str = concat!(
    "UPDATE rooms r
     STRAIGHT_JOIN sessions s ON s.session_id = :sender AND s.revoked_at IS NULL
     STRAIGHT_JOIN room_members m ON m.room_id = r.id AND m.user_id = s.user_id
     LEFT JOIN rate_limits l ON l.name = :window AND l.subject = m.user_id
     SET r.last_seq = LAST_INSERT_ID(r.last_seq + 1), r.updated_at = :now,
         l.tally = IF(l.tally < :closed, :fresh, l.tally + 1), ",
    count_posts!(),
    " WHERE r.id = :room_id AND (:only IS NULL OR r.kind = :only)
        AND (:user_id IS NULL OR m.user_id = :user_id)
        AND (:window IS NULL OR l.tally < :closed OR (l.tally & :most) < :count) AND ",
    may_post!()
);

/// Like [`TAKE_NUMBER_FOR_USER`], for the user of an open socket.
const TAKE_NUMBER_FOR_SOCKET: &str = concat!(
    "UPDATE rooms r
     STRAIGHT_JOIN connections c ON c.connection_id = :sender AND c.expires_at > UTC_TIMESTAMP(3)
     STRAIGHT_JOIN room_members m ON m.room_id = r.id AND m.user_id = c.user_id
     LEFT JOIN rate_limits l ON l.name = :window AND l.subject = m.user_id
     SET r.last_seq = LAST_INSERT_ID(r.last_seq + 1), r.updated_at = :now,
         l.tally = IF(l.tally < :closed, :fresh, l.tally + 1), ",
    count_posts!(),
    " WHERE r.id = :room_id AND (:only IS NULL OR r.kind = :only)
        AND (:user_id IS NULL OR m.user_id = :user_id)
        AND (:window IS NULL OR l.tally < :closed OR (l.tally & :most) < :count) AND ",
    may_post!()
);

/// Stores a signed-in user's message under its number, unless it replies to a message that does not
/// exist. The statement that took the number has locked the session's row.
const INSERT_FOR_USER: &str = "
    INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, is_encrypted,
                          client_message_id, body_hash, reply_to_seq, created_at)
    SELECT :room_id, :seq, :seq, 'text', s.user_id, :content, :is_encrypted,
           :client_message_id, :body_hash, :reply_to_seq, :now
    FROM sessions s
    WHERE s.session_id = :sender AND (:reply_to_seq IS NULL OR EXISTS
        (SELECT 1 FROM messages p WHERE p.room_id = :room_id AND p.seq = :reply_to_seq))";

/// Like [`INSERT_FOR_USER`], for the user of a socket.
const INSERT_FOR_SOCKET: &str = "
    INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, is_encrypted,
                          client_message_id, body_hash, reply_to_seq, created_at)
    SELECT :room_id, :seq, :seq, 'text', c.user_id, :content, :is_encrypted,
           :client_message_id, :body_hash, :reply_to_seq, :now
    FROM connections c
    WHERE c.connection_id = :sender AND (:reply_to_seq IS NULL OR EXISTS
        (SELECT 1 FROM messages p WHERE p.room_id = :room_id AND p.seq = :reply_to_seq))";

/// Where and when a message was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) created_at: NaiveDateTime,
}

/// Takes the room's next number if the sender may send, counts the send and its posts if there are limits, and
/// stores the message. Returns `None` when the send was refused.
pub(crate) async fn store(
    transaction: &mut Transaction<'static>,
    (sender, draft, limits): (Sender<'_>, &Draft, Option<&Limits>),
) -> Result<Option<Stored>> {
    let created_at = time::now();
    let Some(seq) = take_number(transaction, sender, draft, limits, created_at).await? else {
        return Ok(None);
    };
    insert(transaction, sender, draft, seq, created_at).await?;
    Ok(Some(Stored { seq, created_at }))
}

async fn take_number(
    transaction: &mut Transaction<'static>,
    sender: Sender<'_>,
    draft: &Draft,
    limits: Option<&Limits>,
    now: NaiveDateTime,
) -> Result<Option<u64>> {
    let sql = match sender {
        Sender::User(_) => TAKE_NUMBER_FOR_USER,
        Sender::Socket(_) => TAKE_NUMBER_FOR_SOCKET,
    };
    let limit = limits.and_then(|limits| limits.message);
    let count = limit.map(Count::now);
    let posts = PostsCount::now(limits.and_then(|limits| limits.room_posts));
    transaction
        .exec_drop(
            sql,
            params! {
                "sender" => sender.key(),
                "room_id" => draft.room_id,
                "only" => draft.only,
                now,
                "user_id" => draft.user_id.as_ref(),
                "window" => limit.map(|_| "message"),
                "closed" => count.as_ref().map(|count| count.closed),
                "fresh" => count.as_ref().map(|count| count.fresh),
                "most" => rate_limit::MOST,
                "count" => limit.map(|limit| limit.count),
                "posts" => posts.posts(),
                "posts_closed" => posts.closed(),
                "posts_opened" => posts.opened(),
            },
        )
        .await?;
    Ok(transaction.last_insert_id())
}

async fn insert(
    transaction: &mut Transaction<'static>,
    sender: Sender<'_>,
    draft: &Draft,
    seq: u64,
    now: NaiveDateTime,
) -> Result<()> {
    let sql = match sender {
        Sender::User(_) => INSERT_FOR_USER,
        Sender::Socket(_) => INSERT_FOR_SOCKET,
    };
    let inserted = transaction
        .exec_drop(
            sql,
            params! {
                "sender" => sender.key(),
                "room_id" => draft.room_id,
                seq,
                "content" => &draft.content,
                "is_encrypted" => draft.is_encrypted,
                "client_message_id" => draft.client_message_id.as_ref(),
                "body_hash" => draft.client_message_id.as_ref().map(|_| draft.body_hash()),
                "reply_to_seq" => draft.reply_to.map(|reply_to| reply_to.seq),
                now,
            },
        )
        .await;
    match inserted {
        Err(error) if duplicate_key(&error) == Some("messages_client_message_id") => {
            Err(Error::ClientMessageIdReused)
        }
        Err(error) => Err(error.into()),
        Ok(()) if transaction.affected_rows() == 0 => {
            Err(Error::invalid("replyTo", "names no message of this room"))
        }
        Ok(()) => Ok(()),
    }
}

impl Sender<'_> {
    /// The key of the row that says that the sender may still act.
    fn key(&self) -> &str {
        match self {
            Self::User(user) => &user.session_id,
            Self::Socket(connection_id) => connection_id.as_str(),
        }
    }

    async fn user_id(&self, db: &Db) -> Result<UserId> {
        match self {
            Self::User(user) => Ok(user.user_id.clone()),
            Self::Socket(connection_id) => Ok(connections::user(db, connection_id).await?.user_id),
        }
    }
}

/// Returns a message that was just stored, with its sender's name, and the sockets of the room's members.
pub(crate) async fn stored_message(app: &App, draft: &Draft, stored: Stored) -> Result<Sent> {
    let Stored { seq, created_at } = stored;
    let SenderAndSockets { user_id, name, sockets } = sender_and_sockets(app, draft.room_id, seq).await?;
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
        client_message_id: draft.client_message_id.clone(),
        reply_to: draft.reply_to,
        attachment: None,
        reactions: Vec::new(),
        created_at,
        edited_at: None,
        deleted: false,
    };
    Ok(Sent { message, sockets: Some(sockets) })
}

/// The id and name of the sender of a message that was just stored, and the sockets of the room's
/// members.
pub(crate) struct SenderAndSockets {
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    pub(crate) sockets: Vec<ConnectionId>,
}

pub(crate) async fn sender_and_sockets(app: &App, room_id: RoomId, seq: u64) -> Result<SenderAndSockets> {
    let rows: Vec<(UserId, String, u32, Option<ConnectionId>)> = app
        .db
        .rows(
            "SELECT u.user_id, u.name, r.audience, c.connection_id
             FROM messages x JOIN users u ON u.user_id = x.sender_id JOIN rooms r ON r.id = x.room_id
             LEFT JOIN (room_members m JOIN connections c
                        ON c.user_id = m.user_id AND c.expires_at > UTC_TIMESTAMP(3)) ON m.room_id = x.room_id
             WHERE x.room_id = ? AND x.seq = ?",
            (room_id, seq),
        )
        .await?;
    let (user_id, name, audience, _) = rows.first().cloned().ok_or(Error::NotFound(Thing::Room))?;
    let sockets: Vec<_> = rows.into_iter().filter_map(|(.., socket)| socket).collect();
    posts::measure(&app.db, app.config.limits.room_posts, room_id, audience, sockets.len()).await;
    Ok(SenderAndSockets { user_id, name, sockets })
}

/// Returns which user was refused when [`store`] matched no row, and why. This is looked up afterwards,
/// because it is rarely needed. If the reason is `None`, it was a limit.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_id_names_a_room_and_a_place() {
        let id: MessageId = serde_json::from_value(json!("12-7")).unwrap();
        assert_eq!(id, MessageId { room_id: RoomId(12), seq: 7 });
        assert_eq!(serde_json::to_value(id).unwrap(), json!("12-7"));
        for bad in [json!("message-123"), json!("12"), json!("-7"), json!("12-"), json!("+1-2"), json!(12)] {
            assert!(serde_json::from_value::<MessageId>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn drafts_that_differ_have_different_hashes() {
        let draft = |content: &str, encrypted, reply: Option<&str>| {
            Fields::parse::<Draft>(
                json!({"roomId": 1, "content": content, "isEncrypted": encrypted, "replyTo": reply}),
            )
            .unwrap()
            .body_hash()
        };
        let all = [
            draft("a", false, None),
            draft("a", true, None),
            draft("a", false, Some("1-1")),
            draft("b", false, None),
        ];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash));
        }
        assert_eq!(all[0], draft("a", false, None));
    }
}
