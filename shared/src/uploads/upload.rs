//! Files of a room: PDF, JPEG and PNG, recognized by their bytes (`docs/contract.md`, "Files").
//!
//! A small file comes through a function ([`upload`]). The sender posts a larger one to the store, with a
//! policy that allows it ([`create`]). The file is checked before it is sent ([`complete`]): it is copied to
//! a key that no policy allows, and the copy is checked. Either way the row is stored before the bytes, and
//! the message after them.

use std::time::Duration;

use bytes::Bytes;
use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, params};
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::app::App;
use crate::base::db::{Db, duplicate_key};
use crate::base::fields::{Fields, Missing, Read, WholeNumber};
use crate::base::file_type::{FileType, GivenName, disposition};
use crate::base::files::{self, Form, HEAD_BYTES};
use crate::base::ids::{ConnectionId, RoomId, UploadId};
use crate::base::rate_limit::{self, Limited, MOST};
use crate::base::sha256::sha256;
use crate::base::text::{lines, text_type};
use crate::base::time;
use crate::base::tokens::random_token;
use crate::base::user::User;
use crate::config::Limit;
use crate::error::Thing;
use crate::messages::batch::Stored;
use crate::messages::message::message_columns;
use crate::messages::message::{Attachment, ClientMessageId, Message, MessageId, MessageKind, MessageRow};
use crate::messages::posts::{self, PostsCount, count_posts, may_post};
use crate::messages::send::{self, Sent};
use crate::people::sessions;
use crate::{Error, Result};

/// The most bytes of a file that comes through a function. In base64 it fits into Lambda's 6 MB.
pub const THROUGH_A_FUNCTION: u64 = 4 * 1024 * 1024;
/// The most bytes of a file that is posted to the store.
pub const TO_THE_STORE: u64 = 25 * 1024 * 1024;
/// How long a policy allows its file to be posted, in minutes.
const POLICY_MINUTES: i64 = 15;
/// How long [`complete`] waits for the store in all. The rest of a function's 28 s is for the database and
/// the pushes.
const STORE_TIME: Duration = Duration::from_secs(18);

text_type!(
    /// The text sent with a file: up to 8,000 characters.
    Caption, |caption| lines(caption, 0..=8000)
);

/// A file that was sent, as its sender sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Upload<'a> {
    #[serde(flatten)]
    attachment: &'a Attachment,
    sender: &'a str,
}

impl<'a> Upload<'a> {
    /// Returns the file of a message, or `None` once the message has been deleted.
    pub fn of(message: &'a Message) -> Option<Self> {
        message.attachment.as_ref().map(|attachment| Self { attachment, sender: message.user_id.as_str() })
    }
}

/// The fields that come with a file.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewUpload {
    pub room_id: RoomId,
    pub caption: Option<Caption>,
    pub client_message_id: Option<ClientMessageId>,
}

impl Read for NewUpload {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        // The file itself is not text. The code that reads the form puts a placeholder in its place.
        let file = fields.required::<IgnoredAny>("file");
        let room_id = room_id(fields);
        let caption = fields.optional("caption");
        let client_message_id = fields.optional("clientMessageId");
        file?;
        Ok(Self { room_id: room_id?, caption: caption?, client_message_id: client_message_id? })
    }
}

/// A file that came through a function.
#[derive(Debug)]
pub struct NewFile {
    /// The file's name at its sender.
    pub name: Option<GivenName>,
    /// The declared media type, if any.
    pub said_type: Option<String>,
    /// The whole file.
    pub bytes: Bytes,
}

/// A file that is to be posted to the store.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewPost {
    pub room_id: RoomId,
    pub file_name: GivenName,
    pub said_type: String,
    pub size: u64,
    pub caption: Option<Caption>,
}

impl Read for NewPost {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = room_id(fields);
        let file_name = fields.required("fileName");
        let said_type = fields.required::<GivenName>("type");
        let size = fields.required("size");
        if matches!(size, Ok(WholeNumber(0))) {
            fields.wrong("size", "must be 1 or more bytes");
        }
        let caption = fields.optional("caption");
        let WholeNumber(size) = size?;
        let said_type = said_type?.to_string();
        Ok(Self { room_id: room_id?, file_name: file_name?, said_type, size, caption: caption? })
    }
}

/// `roomId`, which may also be called `chatId` or `groupId`.
fn room_id(fields: &mut Fields) -> Result<RoomId, Missing> {
    let names = ["roomId", "chatId", "groupId"];
    let [room_id, chat_id, group_id] = names.map(|name| fields.optional::<RoomId>(name));
    let given: Vec<RoomId> = [room_id?, chat_id?, group_id?].into_iter().flatten().collect();
    match given.as_slice() {
        [one, others @ ..] if others.iter().all(|other| other == one) => Ok(*one),
        [] => fields.required("roomId"),
        _ => {
            fields.wrong("roomId", "must be the same as chatId and groupId, or the only one");
            Err(Missing)
        }
    }
}

/// A place in the store for one file, and the permission to post it there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Place {
    pub upload_id: UploadId,
    #[serde(flatten)]
    pub form: Form,
    #[serde(serialize_with = "time::serialize")]
    pub expires_at: NaiveDateTime,
}

/// An upload's row.
#[derive(Clone, Copy, Debug)]
struct Reserved<'a> {
    upload_id: &'a UploadId,
    room_id: RoomId,
    sender: &'a User,
    object_key: Option<&'a str>,
    file_name: &'a str,
    file_type: FileType,
    size: u64,
    sha256: Option<&'a [u8]>,
    caption: &'a str,
}

/// The prefix of the keys that policies allow.
pub(crate) const POSTED: &str = "incoming/";
/// Returns the key to which a policy allows a file to be posted.
pub(crate) fn posted_key(upload_id: &UploadId) -> String {
    format!("{POSTED}{upload_id}")
}

/// Returns the key of a checked file.
pub(crate) fn checked_key(upload_id: &UploadId, object_key: &str) -> String {
    format!("{}{object_key}", checked_keys(upload_id))
}

pub(crate) fn checked_keys(upload_id: &UploadId) -> String {
    format!("files/{upload_id}/")
}

/// Stores a file and sends it to a room, once for each `clientMessageId`.
///
/// # Errors
/// [`Error::PayloadTooLarge`], [`Error::UnsupportedMediaType`], [`Error::NotFound`],
/// [`Error::NotAMember`], [`Error::ClientMessageIdReused`], [`Error::RateLimited`] and
/// [`Error::StoreUnavailable`].
pub async fn upload(app: &App, sender: &User, new: NewUpload, file: NewFile) -> Result<Sent> {
    let size = file.bytes.len() as u64;
    if size > THROUGH_A_FUNCTION {
        return Err(Error::PayloadTooLarge { most: THROUGH_A_FUNCTION });
    }
    let first = &file.bytes[..file.bytes.len().min(HEAD_BYTES)];
    let file_type = FileType::of(first).ok_or(Error::UnsupportedMediaType)?;
    if file.said_type.is_some_and(|said| FileType::named(&said) != Some(file_type)) {
        return Err(Error::UnsupportedMediaType);
    }
    let file_name = file_type.name(file.name.as_ref());
    let file_hash = sha256(&[&file.bytes]);
    let caption = new.caption.as_ref().map(Caption::as_str).unwrap_or_default();
    let again = new
        .client_message_id
        .as_ref()
        .map(|id| Repeatable { id, hash: body_hash(caption, &file_name, &file_hash) });
    if let Some(again) = &again
        && let Some(message) = again.sent_before(&app.db, sender, new.room_id).await?
    {
        return Ok(Sent::before(message));
    }
    // No other limit applies: `MESSAGE_LIMIT` counts text messages.
    rate_limit::count(&app.db, &app.config.limits, Limited::Upload(&sender.user_id)).await?;

    let (upload_id, object_key) = (UploadId::stored(random_token::<16>()), random_token::<16>());
    let reserved = Reserved {
        upload_id: &upload_id,
        room_id: new.room_id,
        sender,
        object_key: Some(&object_key),
        file_name: &file_name,
        file_type,
        size,
        sha256: Some(&file_hash),
        caption,
    };
    reserve(&app.db, reserved).await?;
    // From here on the sweep finds whatever this call leaves behind.
    app.files.put(&checked_key(&upload_id, &object_key), file_type.media_type(), file.bytes).await?;
    let room_posts = app.config.limits.room_posts;
    let sending = Sending { reserved, by: None, object_key: &object_key, again: again.as_ref(), room_posts };
    let sent = match app.db.transaction_in(new.room_id, sending, send).await {
        Ok(Some(stored)) => return stored_message(app, sending, stored).await,
        Ok(None) => Err(Error::NotFound(Thing::Room)),
        Err(error) => Err(error),
    };
    give_up_refused(&app.db, &upload_id).await;
    match (sent, &again) {
        // Another request of the same client has sent it at the same time.
        (Err(Error::ClientMessageIdReused), Some(again)) => {
            let message = again.sent_before(&app.db, sender, new.room_id).await?;
            message.map(Sent::before).ok_or(Error::ClientMessageIdReused)
        }
        (Err(Error::NotFound(_)), _) => Err(why_refused(&app.db, sender, new.room_id).await?),
        (sent, _) => sent,
    }
}

/// Releases an upload that is not sent, and leaves its bytes to the sweep. Returns whether there was such an
/// upload.
///
/// # Errors
/// The database's.
pub(crate) async fn give_up(db: &Db, upload_id: &UploadId) -> Result<bool> {
    let sql = "UPDATE uploads SET room_id = NULL WHERE upload_id = ? AND seq IS NULL AND room_id IS NOT NULL";
    // Another request may have sent it in the meantime; then its bytes belong to a message.
    Ok(db.execute(sql, (upload_id,)).await?.affected_rows == 1)
}

/// Releases an upload that was refused. An error is only logged: the client gets the refusal.
async fn give_up_refused(db: &Db, upload_id: &UploadId) {
    if let Err(error) = give_up(db, upload_id).await {
        error.log();
    }
}

/// Reserves a place in the store for one file of this type and size, for fifteen minutes.
///
/// # Errors
/// As [`upload`]'s.
pub async fn create(app: &App, sender: &User, new: NewPost) -> Result<Place> {
    let file_type = FileType::named(&new.said_type).ok_or(Error::UnsupportedMediaType)?;
    if new.size > TO_THE_STORE {
        return Err(Error::PayloadTooLarge { most: TO_THE_STORE });
    }
    rate_limit::count(&app.db, &app.config.limits, Limited::Upload(&sender.user_id)).await?;
    let upload_id = UploadId::stored(random_token::<16>());
    let expires_at = time::now() + chrono::Duration::minutes(POLICY_MINUTES);
    let key = posted_key(&upload_id);
    let form = app.files.form(&key, file_type.media_type(), new.size, expires_at).await?;
    let reserved = Reserved {
        upload_id: &upload_id,
        room_id: new.room_id,
        sender,
        object_key: None,
        file_name: &file_type.name(Some(&new.file_name)),
        file_type,
        size: new.size,
        sha256: None,
        caption: new.caption.as_ref().map(Caption::as_str).unwrap_or_default(),
    };
    reserve(&app.db, reserved).await?;
    Ok(Place { upload_id, form, expires_at })
}

/// Stores the row of an upload, if its sender is a member of the room.
async fn reserve(db: &Db, new: Reserved<'_>) -> Result<()> {
    let done = db
        .execute(
            "INSERT INTO uploads (upload_id, room_id, sender_id, object_key, file_name, type, size, sha256, caption, created_at)
             SELECT :upload_id, m.room_id, m.user_id, :object_key, :file_name, :type, :size, :sha256, :caption, :now
             FROM room_members m STRAIGHT_JOIN sessions s ON s.session_id = :session_id AND s.revoked_at IS NULL
             WHERE m.room_id = :room_id AND m.user_id = :sender
             ON DUPLICATE KEY UPDATE swept = swept",
            params! {
                "upload_id" => new.upload_id,
                "object_key" => new.object_key,
                "file_name" => new.file_name,
                "type" => new.file_type,
                "size" => new.size,
                "sha256" => new.sha256,
                "caption" => new.caption,
                "now" => time::now(),
                "room_id" => new.room_id,
                "sender" => &new.sender.user_id,
                "session_id" => &new.sender.session_id,
            },
        )
        .await?;
    // The row also exists when the statement succeeded, its answer was lost, and it was sent again.
    if done.affected_rows > 0 || is_reserved(db, new.upload_id).await? {
        return Ok(());
    }
    Err(why_refused(db, new.sender, new.room_id).await?)
}

async fn is_reserved(db: &Db, upload_id: &UploadId) -> Result<bool> {
    let row: Option<u8> = db.first("SELECT 1 FROM uploads WHERE upload_id = ?", (upload_id,)).await?;
    Ok(row.is_some())
}

/// Returns why a user may not send to a room.
async fn why_refused(db: &Db, sender: &User, room_id: RoomId) -> Result<Error> {
    let is_member: Option<bool> = db
        .first(
            "SELECT m.user_id IS NOT NULL FROM rooms r
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = ?
             WHERE r.id = ? AND r.organization_id = ?",
            (&sender.user_id, room_id, sender.organization_id),
        )
        .await?;
    Ok(match is_member {
        None => Error::NotFound(Thing::Room),
        Some(false) => Error::NotAMember,
        // Nothing else forbids it: the session has ended.
        Some(true) => Error::Unauthenticated,
    })
}

#[derive(FromRow)]
struct Pending {
    room_id: RoomId,
    seq: Option<u64>,
    file_name: String,
    #[mysql(rename = "type")]
    file_type: FileType,
    size: u64,
    caption: String,
    is_member: bool,
}

/// Finds an upload of this user, sent or not.
async fn find(db: &Db, sender: &User, upload_id: &UploadId) -> Result<Pending> {
    let row: Option<Pending> = db
        .first(
            "SELECT f.room_id, f.seq, f.file_name, f.type, f.size, f.caption, m.user_id IS NOT NULL AS is_member
             FROM uploads f JOIN rooms r ON r.id = f.room_id AND r.organization_id IS NOT NULL
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = f.sender_id
             WHERE f.upload_id = ? AND f.sender_id = ?",
            (upload_id, &sender.user_id),
        )
        .await?;
    match row {
        None => Err(Error::NotFound(Thing::Upload)),
        Some(Pending { is_member: false, .. }) => Err(Error::NotAMember),
        Some(upload) => Ok(upload),
    }
}

/// Sends a file that was posted to the store, if it has its declared type and size. Repeated calls send it
/// only once.
///
/// # Errors
/// [`Error::NotFound`] for an upload that is not the sender's, or to which nothing was posted;
/// [`Error::UnsupportedMediaType`], after which the upload no longer exists; [`Error::RateLimited`], after
/// which it can be completed later; [`Error::NotAMember`] and [`Error::StoreUnavailable`].
pub async fn complete(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
) -> Result<Sent> {
    let upload = find(&app.db, sender, upload_id).await?;
    let room_id = upload.room_id;
    if let Some(seq) = upload.seq {
        return message(&app.db, room_id, seq).await.map(Sent::before);
    }
    if let Some(sent) = check_and_send(app, sender, by, upload_id, &upload).await? {
        return Ok(sent);
    }
    // Another request may have sent it in the meantime.
    match find(&app.db, sender, upload_id).await?.seq {
        Some(seq) => message(&app.db, room_id, seq).await.map(Sent::before),
        None => Err(Error::NotFound(Thing::Upload)),
    }
}

/// Checks a posted file and sends it. Returns `None` when there is nothing to send yet, or nothing any more.
///
/// The bytes are copied first and then checked, because nobody can replace the bytes of the copy. The posted
/// file stays; the sweep erases it later ([`erase::tidy`]), so that no request waits for that.
async fn check_and_send(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
    upload: &Pending,
) -> Result<Option<Sent>> {
    let deadline = Instant::now() + STORE_TIME;
    // Each attempt has its own key, so a message's file is never overwritten.
    let object_key = random_token::<16>();
    let checked = checked_key(upload_id, &object_key);
    let copied = async {
        match app.files.copy(&posted_key(upload_id), &checked, upload.file_type.media_type()).await? {
            true => app.files.look(&checked).await,
            false => Ok(None),
        }
    };
    let Some(copy) = files::by(deadline, copied).await? else { return Ok(None) };
    let is_as_said = copy.size == upload.size && FileType::of(&copy.first) == Some(upload.file_type);
    let sent = match is_as_said {
        true => send_copy(app, sender, by, upload_id, upload, &object_key).await,
        false => Ok(None),
    };
    // Delete the copy only when no message can have it. After another error the message may exist all the
    // same, for example when the answer to its commit was lost.
    if matches!(sent, Ok(None) | Err(Error::RateLimited(_) | Error::Overloaded { .. }))
        && let Err(error) = files::by(deadline, app.files.delete(&checked)).await
    {
        error.log();
    }
    if !is_as_said {
        give_up_refused(&app.db, upload_id).await;
        return Err(Error::UnsupportedMediaType);
    }
    sent
}

/// Sends a checked file. Returns `None` when the sender may not send it, or when it has already been sent.
///
/// # Errors
/// [`Error::RateLimited`] when the room may not cause its posts.
async fn send_copy(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
    upload: &Pending,
    object_key: &str,
) -> Result<Option<Sent>> {
    let reserved = Reserved {
        upload_id,
        room_id: upload.room_id,
        sender,
        object_key: None,
        file_name: &upload.file_name,
        file_type: upload.file_type,
        size: upload.size,
        sha256: None,
        caption: &upload.caption,
    };
    let sending = Sending { reserved, by, object_key, again: None, room_posts: app.config.limits.room_posts };
    match app.db.transaction_in(upload.room_id, sending, send).await? {
        Some(stored) => stored_message(app, sending, stored).await.map(Some),
        None => Ok(None),
    }
}

/// A message to be sent with a file, and what makes it repeatable.
#[derive(Clone, Copy)]
struct Sending<'a> {
    reserved: Reserved<'a>,
    by: Option<&'a ConnectionId>,
    object_key: &'a str,
    again: Option<&'a Repeatable<'a>>,
    /// `ROOM_POSTS_LIMIT`.
    room_posts: Option<Limit>,
}

struct Repeatable<'a> {
    id: &'a ClientMessageId,
    hash: Vec<u8>,
}

impl Repeatable<'_> {
    async fn sent_before(&self, db: &Db, sender: &User, room_id: RoomId) -> Result<Option<Message>> {
        send::sent_before(db, &sender.user_id, room_id, self.id, &self.hash).await
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

/// Assigns the room's next sequence number to a file that has none yet, counts its posts, and stores its
/// message. Returns `None` when the sender may not send it, or when it already has a number.
///
/// # Errors
/// [`Error::RateLimited`] when the room may not cause its posts.
async fn send(transaction: &mut Transaction<'static>, sending: Sending<'_>) -> Result<Option<Stored>> {
    let Sending { reserved, by, object_key, again, room_posts } = sending;
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
    transaction
        .exec_drop(
            "UPDATE uploads SET seq = ?, object_key = ? WHERE upload_id = ?",
            (seq, object_key, reserved.upload_id),
        )
        .await?;
    let User { user_id, name, .. } = reserved.sender;
    Ok(Some(Stored { seq, created_at: now, user_id: user_id.clone(), name: name.clone() }))
}

/// Checks whether a file got no number because of its posts. The room is still locked, so what the statement
/// before saw is what this one sees.
async fn refused_posts(
    transaction: &mut Transaction<'static>,
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
    let Stored { seq, created_at, user_id, name } = stored;
    let Sending { reserved, again, .. } = sending;
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
        attachment: Some(Attachment::new(
            reserved.upload_id.clone(),
            file_name,
            reserved.file_type,
            reserved.size,
        )),
        reactions: Vec::new(),
        created_at,
        edited_at: None,
        deleted: false,
    };
    Ok(Sent { message, sockets: Some(sockets) })
}

async fn message(db: &Db, room_id: RoomId, seq: u64) -> Result<Message> {
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

/// Returns a signed URL of a message's file, for a member of its room.
///
/// # Errors
/// [`Error::NotFound`], also once the message has been deleted; [`Error::NotAMember`].
pub async fn signed_url(app: &App, asker: &User, upload_id: &UploadId) -> Result<String> {
    let row: Option<(String, String, FileType, bool)> = app
        .db
        .first(
            "SELECT f.object_key, f.file_name, f.type, m.user_id IS NOT NULL
             FROM uploads f JOIN rooms r ON r.id = f.room_id
             JOIN messages x ON x.room_id = f.room_id AND x.seq = f.seq AND x.deleted_at IS NULL
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :asker
             WHERE f.upload_id = :upload_id AND r.organization_id = :organization_id",
            params! { "asker" => &asker.user_id, upload_id, "organization_id" => asker.organization_id },
        )
        .await?;
    let (object_key, file_name, file_type, is_member) = row.ok_or(Error::NotFound(Thing::Upload))?;
    if !is_member {
        return Err(Error::NotAMember);
    }
    let key = checked_key(upload_id, &object_key);
    app.files.signed_url(&key, file_type.media_type(), &disposition(&file_name)).await
}
