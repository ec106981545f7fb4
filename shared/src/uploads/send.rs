//! Sending a file that is stored as a message of its room.

use mysql_async::params;
use mysql_async::prelude::Queryable;

use crate::app::App;
use crate::base::db::{Db, duplicate_key};
use crate::base::ids::{ConnectionId, RoomId};
use crate::base::pictures::Looks;
use crate::base::rate_limit::MOST;
use crate::base::sha256::sha256;
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::config::Limit;
use crate::error::Thing;
use crate::messages::batch::Stored;
use crate::messages::message::message_columns;
use crate::messages::message::{Attachment, ClientMessageId, Message, MessageId, MessageKind, MessageRow};
use crate::messages::posts::{self, PostsCount, count_posts, may_post};
use crate::messages::send::{self, Sent};
use crate::messages::slow_mode;
use crate::people::sessions;
use crate::uploads::row::Reserved;
use crate::{Error, Result};

/// A message to be sent with a file, and what makes it repeatable.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) reserved: Reserved<'a>,
    pub(super) by: Option<&'a ConnectionId>,
    pub(super) object_key: &'a str,
    pub(super) looks: Looks,
    pub(super) again: Option<&'a Repeatable<'a>>,
}

/// A `clientMessageId`, and the hash of what must be the same when it is used again.
pub(super) struct Repeatable<'a> {
    id: &'a ClientMessageId,
    hash: Vec<u8>,
}

impl<'a> Repeatable<'a> {
    /// `bytes` stands for those of the file: their hash, or what is known of them.
    pub(super) fn new(id: &'a ClientMessageId, caption: &str, file_name: &str, bytes: &[u8]) -> Self {
        Self { id, hash: body_hash(caption, file_name, bytes) }
    }

    /// Returns the message that was sent with this id before.
    ///
    /// # Errors
    /// [`Error::ClientMessageIdReused`] when it was another one.
    pub(super) async fn sent_before(&self, db: &Db, sender: &User, room_id: RoomId) -> Result<Option<Sent>> {
        let message = send::sent_before(db, &sender.user_id, room_id, self.id, &self.hash).await?;
        Ok(message.map(Sent::before))
    }
}

/// Hashes what must be the same when a `clientMessageId` is used again. The prefix cannot be confused with
/// the length of a text message's content.
fn body_hash(caption: &str, file_name: &str, file_hash: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| (part.len() as u64).to_be_bytes();
    let (caption, file_name) = (caption.as_bytes(), file_name.as_bytes());
    sha256(&[
        b"a file: ",
        &length(caption),
        caption,
        &length(file_name),
        file_name,
        &length(file_hash),
        file_hash,
    ])
}

/// Sends a file that is stored and checked. Returns `None` when the sender may not send it, or when it has already been
/// sent. The outcome is not new when the same client has sent it at the same time in another upload.
///
/// # Errors
/// [`Error::RateLimited`] when the room may not cause its posts, [`Error::SlowMode`] and
/// [`Error::ClientMessageIdReused`].
pub(super) async fn send_file(app: &App, sending: Sending<'_>) -> Result<Option<Sent>> {
    let Sending { reserved: Reserved { room_id, sender, .. }, again, .. } = sending;
    let room_posts = app.config.limits.room_posts;
    match (app.db.transaction_in(room_id, (sending, room_posts), store).await, again) {
        (Ok(Some(stored)), _) => stored_message(app, sending, stored).await.map(Some),
        (Ok(None), _) => Ok(None),
        (Err(Error::ClientMessageIdReused), Some(again)) => {
            let sent = again.sent_before(&app.db, sender, room_id).await?;
            sent.map(Some).ok_or(Error::ClientMessageIdReused)
        }
        (Err(error), _) => Err(error),
    }
}

/// Assigns the room's next sequence number to a file that has none yet, counts its posts, and stores its
/// message. Returns `None` when the sender may not send it, or when it already has a number.
///
/// # Errors
/// [`Error::RateLimited`] when the room may not cause its posts, and [`Error::SlowMode`].
async fn store(
    transaction: &mut Transaction,
    (sending, room_posts): (Sending<'_>, Option<Limit>),
) -> Result<Option<Stored>> {
    let Sending { reserved, by, object_key, looks, again } = sending;
    let now = time::now();
    let posts = PostsCount::now(room_posts);
    // Lock the room first, as in `messages`.
    transaction
        .exec_drop(
            concat!(
                "UPDATE rooms r
                 STRAIGHT_JOIN room_members m ON m.room_id = r.id AND m.user_id = :sender
                 STRAIGHT_JOIN uploads f ON f.upload_id = :upload_id AND f.room_id = r.id AND f.seq IS NULL
                 SET r.last_seq = LAST_INSERT_ID(r.last_seq + 1), r.updated_at = :now, ",
                count_posts!(),
                " WHERE r.id = :room_id AND ",
                may_post!()
            ),
            params! {
                "sender" => &reserved.sender.user_id,
                "upload_id" => reserved.upload_id,
                now,
                "room_id" => reserved.room_id,
                "most" => MOST,
                "posts" => posts.posts(),
                "posts_closed" => posts.closed(),
                "posts_opened" => posts.opened(),
            },
        )
        .await?;
    let Some(seq) = transaction.last_insert_id() else {
        return refused_posts(transaction, reserved, &posts).await.map(|()| None);
    };
    sessions::still_signed_in(transaction, reserved.sender, by).await?;
    let stored = transaction
        .exec_drop(
            "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, client_message_id, body_hash, created_at)
             VALUES (:room_id, :seq, :seq, 'file', :sender, :caption, :client_message_id, :body_hash, :now)",
            params! {
                "room_id" => reserved.room_id,
                seq,
                "sender" => &reserved.sender.user_id,
                "caption" => reserved.caption,
                "client_message_id" => again.map(|again| again.id),
                "body_hash" => again.map(|again| again.hash.as_slice()),
                now,
            },
        )
        .await;
    match stored {
        Err(error) if duplicate_key(&error) == Some("messages_client_message_id") => {
            return Err(Error::ClientMessageIdReused);
        }
        stored => stored?,
    }
    slow_mode::begin(transaction, reserved.room_id, &reserved.sender.user_id).await?;
    let (width, height) = looks.size.unzip();
    transaction
        .exec_drop(
            "UPDATE uploads SET seq = ?, object_key = ?, width = ?, height = ?, thumbnail = ? WHERE upload_id = ?",
            (seq, object_key, width, height, looks.thumbnail, reserved.upload_id),
        )
        .await?;
    let User { user_id, name, .. } = reserved.sender;
    let (user_id, name) = (user_id.clone(), name.clone());
    Ok(Some(Stored { seq, created_at: now, user_id, name, quoted: Vec::new() }))
}

/// Checks whether a file got no number because of its posts. The room is still locked, so what the statement
/// before saw is what this one sees.
async fn refused_posts(
    transaction: &mut Transaction,
    reserved: Reserved<'_>,
    posts: &PostsCount,
) -> Result<()> {
    let room: Option<(u64, u32)> = transaction
        .exec_first(
            "SELECT r.posts_tally, r.audience FROM rooms r
             JOIN room_members m ON m.room_id = r.id AND m.user_id = ?
             JOIN uploads f ON f.upload_id = ? AND f.room_id = r.id AND f.seq IS NULL
             WHERE r.id = ?",
            (&reserved.sender.user_id, reserved.upload_id, reserved.room_id),
        )
        .await?;
    match room.and_then(|(tally, audience)| posts.refusal(tally, audience)) {
        Some(standing) => Err(Error::RateLimited(standing)),
        None => Ok(()),
    }
}

/// Returns the message that was just sent, and the sockets of the room's members.
async fn stored_message(app: &App, sending: Sending<'_>, stored: Stored) -> Result<Sent> {
    let Stored { seq, created_at, user_id, name, .. } = stored;
    let Sending { reserved, looks, again, .. } = sending;
    let mut sockets = posts::sockets(&app.db, app.config.limits.room_posts, &[reserved.room_id]).await?;
    let sockets = sockets.remove(&reserved.room_id).unwrap_or_default();
    let file_name = reserved.file_name.to_owned();
    let message = Message {
        message_id: MessageId { room_id: reserved.room_id, seq },
        room_id: reserved.room_id,
        seq,
        updated_seq: seq,
        kind: MessageKind::File,
        user_id,
        name,
        content: reserved.caption.to_owned(),
        is_encrypted: false,
        client_message_id: again.map(|again| again.id.clone()),
        reply_to: None,
        quoted: None,
        reply_count: 0,
        mentions: Vec::new(),
        mentions_all: false,
        attachment: Some(Attachment::new(
            reserved.upload_id.clone(),
            file_name,
            reserved.file_type,
            reserved.size,
            looks,
        )),
        reactions: Vec::new(),
        created_at,
        edited_at: None,
        deleted: false,
    };
    Ok(Sent { message, sockets: Some(sockets), room: None })
}

/// Returns the message of a file, as its sender sees it.
///
/// # Errors
/// [`Error::NotFound`] when there is none any more.
pub(super) async fn message(db: &Db, room_id: RoomId, seq: u64) -> Result<Message> {
    let row: Option<MessageRow> = db
        .first(
            concat!(
                "SELECT ",
                message_columns!("x.sender_id"),
                " FROM messages x JOIN users u ON u.user_id = x.sender_id WHERE x.room_id = ? AND x.seq = ?"
            ),
            (room_id, seq),
        )
        .await?;
    row.map(MessageRow::message).ok_or(Error::NotFound(Thing::Upload))
}
