//! Files of a room: PDF, JPEG and PNG by their bytes (contract sections 2 and 3).
//!
//! A small file comes through a function ([`upload`]). A larger one is posted to the store by its
//! sender, where a policy lets them ([`create`]), and is looked at before it is sent ([`complete`]):
//! the bytes that were checked are copied to a key that no policy reaches. Either way the row comes
//! before the bytes, and the message after them.

use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, Transaction, Value, params};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::app::App;
use crate::auth::random_token;
use crate::connections::{self, ConnectionId};
use crate::db::{Db, duplicate_key, stored_enum};
use crate::error::Thing;
use crate::fields::{Fields, Missing, Read, WholeNumber};
use crate::files::{self, Form, HEAD_BYTES, TAIL_BYTES};
use crate::messages::{ClientMessageId, Message, MessageRow, Sent, columns};
use crate::rate_limit::{self, Limited};
use crate::rooms::RoomId;
use crate::text::{line, lines, text_type};
use crate::users::User;
use crate::{Error, Result, time};

/// The most bytes of a file that comes through a function: Lambda's 6 MB hold it in base64.
pub const THROUGH_A_FUNCTION: u64 = 4 * 1024 * 1024;
/// The most bytes of a file that is posted to the store.
pub const TO_THE_STORE: u64 = 25 * 1024 * 1024;
/// How long a policy lets its file be posted, in minutes.
const POLICY_MINUTES: i64 = 15;
/// How long [`complete`] waits for the store, whatever it does there: the rest of a function's 28 s are
/// for the database and the pushes.
const STORE_TIME: Duration = Duration::from_secs(18);
/// The most characters of a file's name before its extension.
const NAME_CHARACTERS: usize = 200;

text_type!(
    /// An upload's id: 128 random bits.
    UploadId, |id| match line(id, 1..=64)? {
        id if id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') => Ok(id),
        _ => Err("must be an uploadId".to_owned()),
    }
);

text_type!(
    /// What is said with a file: up to 8,000 characters.
    Caption, |caption| lines(caption, 0..=8000)
);

text_type!(
    /// A file's name as its sender has it; [`FileType::name`] makes it one to show.
    GivenName, |name| match name.chars().count() {
        1..=1000 => Ok(name),
        _ => Err("must be 1 to 1000 characters".to_owned()),
    }
);

/// What a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileType {
    /// A PDF document.
    #[serde(rename = "application/pdf")]
    Pdf,
    /// A JPEG image.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// A PNG image.
    #[serde(rename = "image/png")]
    Png,
}

stored_enum!(FileType { Pdf => "application/pdf", Jpeg => "image/jpeg", Png => "image/png" });

/// What files of other kinds begin with, or pages and archives hold, in lower case: with one of these
/// near its beginning a file is two things at once.
const FOREIGN: [&[u8]; 8] =
    [b"<html", b"<!doctype", b"<script", b"<svg", b"<?php", b"<iframe", b"<body", b"pk\x03\x04"];
/// With this near its end a file is a ZIP archive too, whatever it begins with. (By chance one large
/// file in 65,000 has it there.)
const END_OF_ARCHIVE: &[u8] = b"PK\x05\x06";

impl FileType {
    /// The type that a file has by its bytes: both ends of it, as in [`files::Stored`]. None for
    /// every other, and for a file that could be taken for something else besides.
    pub fn of(first: &[u8], last: &[u8]) -> Option<Self> {
        let (is_pdf, is_jpeg, is_png) =
            (infer::archive::is_pdf(first), infer::image::is_jpeg(first), infer::image::is_png(first));
        // `infer` finds a PDF's mark wherever a reader would, so that an image with one is both.
        let (file_type, begins) = match (is_pdf, is_jpeg, is_png) {
            (true, false, false) => (Self::Pdf, first.starts_with(b"%PDF-")),
            // After the mark of its beginning comes that of a segment.
            (false, true, false) => {
                (Self::Jpeg, first.get(3).is_some_and(|&marker| (0xC0..0xFF).contains(&marker)))
            }
            (false, false, true) => (Self::Png, first.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")),
            _ => return None,
        };
        let lowercase = first.to_ascii_lowercase();
        let holds = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        let is_foreign = FOREIGN.iter().any(|mark| holds(&lowercase, mark)) || holds(last, END_OF_ARCHIVE);
        (begins && !is_foreign).then_some(file_type)
    }

    /// The type of this name, as in a `Content-Type`. None: another one.
    pub fn named(name: &str) -> Option<Self> {
        match name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/pdf" => Some(Self::Pdf),
            "image/jpeg" | "image/jpg" => Some(Self::Jpeg),
            "image/png" => Some(Self::Png),
            _ => None,
        }
    }

    /// `image/png` and the like.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
        }
    }

    /// A name that is safe to show and to save a file under: the last part of a path, without what
    /// some system gives a meaning to, and with an extension of the type, so that no name lies.
    pub fn name(self, given: Option<&GivenName>) -> String {
        let given = given.map(GivenName::as_str).unwrap_or_default();
        let last = given.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
        // Marks of direction would let `gpj.exe` look like `exe.jpg`, and of two names that look the same
        // one might have marks that nobody sees.
        let shown = |c: &char| {
            !c.is_control()
                && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        let plain = |c| if matches!(c, '"' | '<' | '>' | ':' | '|' | '?' | '*') { '_' } else { c };
        let name: String = last.chars().filter(shown).map(plain).collect();
        let name = name.trim_matches(['.', ' ']);
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension))
                if !stem.is_empty()
                    && self.extensions().contains(&extension.to_ascii_lowercase().as_str()) =>
            {
                (stem, extension)
            }
            _ => (name, self.extensions()[0]),
        };
        let stem: String = stem.chars().take(NAME_CHARACTERS).collect();
        let stem = match stem.trim_end() {
            "" => "file",
            stem => stem,
        };
        format!("{}{stem}.{extension}", if is_device(stem) { "_" } else { "" })
    }
}

/// Whether Windows takes a name for a device's, whatever follows its first dot (Microsoft, "Naming
/// files, paths, and namespaces").
fn is_device(name: &str) -> bool {
    let name = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    match name.strip_prefix("com").or(name.strip_prefix("lpt")) {
        Some(port) => matches!(port, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"),
        None => matches!(name.as_str(), "con" | "prn" | "aux" | "nul"),
    }
}

/// A file as a message shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Attachment {
    pub upload_id: UploadId,
    pub file_name: String,
    #[serde(rename = "type")]
    pub file_type: FileType,
    pub size: u64,
    pub url: String,
}

impl Attachment {
    /// The file of a message, from the column that [`columns`] selects.
    pub(crate) fn stored(column: &str) -> Option<Self> {
        let (upload_id, file_name, file_type, size) = serde_json::from_str(column).ok()?;
        let url = format!("/uploads/{upload_id}");
        Some(Self { upload_id: UploadId::stored(upload_id), file_name, file_type, size, url })
    }
}

/// A file that was sent, as whoever sent it sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Upload<'a> {
    #[serde(flatten)]
    attachment: &'a Attachment,
    sender: &'a str,
}

impl<'a> Upload<'a> {
    /// The file of a message. None once the message has been deleted.
    pub fn of(message: &'a Message) -> Option<Self> {
        message.attachment.as_ref().map(|attachment| Self { attachment, sender: &message.user_id })
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
        // The file itself is no text; whoever reads the form puts a mark in its place.
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
    /// As its sender has it.
    pub name: Option<GivenName>,
    /// What it is said to be; none when nothing is said.
    pub said_type: Option<String>,
    /// The whole of it.
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

/// A place in the store for one file, and the leave to post it there.
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

/// What the keys begin with that policies give.
const POSTED: &str = "incoming/";
/// How long ago it was posted what has no row and will have none.
const STRAY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a policy lets a file be posted.
fn posted_key(upload_id: &UploadId) -> String {
    format!("{POSTED}{upload_id}")
}

/// Where checked bytes are.
fn checked_key(upload_id: &UploadId, object_key: &str) -> String {
    format!("{}{object_key}", checked_keys(upload_id))
}

fn checked_keys(upload_id: &UploadId) -> String {
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
    let last = &file.bytes[file.bytes.len().saturating_sub(TAIL_BYTES)..];
    let file_type = FileType::of(first, last).ok_or(Error::UnsupportedMediaType)?;
    if file.said_type.is_some_and(|said| FileType::named(&said) != Some(file_type)) {
        return Err(Error::UnsupportedMediaType);
    }
    let file_name = file_type.name(file.name.as_ref());
    let sha256 = digest::digest(&digest::SHA256, &file.bytes);
    let caption = new.caption.as_ref().map(Caption::as_str).unwrap_or_default();
    let again = new
        .client_message_id
        .as_ref()
        .map(|id| Repeatable { id, hash: body_hash(caption, &file_name, sha256.as_ref()) });
    if let Some(again) = &again
        && let Some(message) = sent_before(&app.db, sender, new.room_id, again).await?
    {
        return Ok(Sent::Again(message));
    }
    // Of the limits this alone: `MESSAGE_LIMIT` counts messages of words.
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
        sha256: Some(sha256.as_ref()),
        caption,
    };
    reserve(&app.db, reserved).await?;
    // From here on the sweep would find what this call leaves behind.
    app.files.put(&checked_key(&upload_id, &object_key), file_type.media_type(), file.bytes).await?;
    let sending = Sending { reserved, by: None, object_key: &object_key, again: again.as_ref() };
    let sent = match app.db.transaction(sending, send).await {
        Ok(Some(seq)) => return told(&app.db, new.room_id, seq).await,
        Ok(None) => Err(Error::NotFound(Thing::Room)),
        Err(error) => Err(error),
    };
    refuse(&app.db, &upload_id).await;
    match (sent, &again) {
        // Sent by another request of the same client, at the same time.
        (Err(Error::ClientMessageIdReused), Some(again)) => {
            let message = sent_before(&app.db, sender, new.room_id, again).await?;
            message.map(Sent::Again).ok_or(Error::ClientMessageIdReused)
        }
        (Err(Error::NotFound(_)), _) => Err(why_refused(&app.db, sender, new.room_id).await?),
        (sent, _) => sent,
    }
}

/// A place in the store for one file of this type and size, for fifteen minutes.
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

/// Notes an upload of a member of its room.
async fn reserve(db: &Db, new: Reserved<'_>) -> Result<()> {
    let done = db
        .execute(
            "INSERT INTO uploads (upload_id, room_id, sender_id, object_key, file_name, type, size, sha256, caption, created_at)
             SELECT :upload_id, m.room_id, m.user_id, :object_key, :file_name, :type, :size, :sha256, :caption, :now
             FROM room_members m WHERE m.room_id = :room_id AND m.user_id = :sender
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
            },
        )
        .await?;
    // It is there too when the statement did its work, its answer was lost, and it was sent again.
    if done.affected_rows > 0 || is_reserved(db, new.upload_id).await? {
        return Ok(());
    }
    Err(why_refused(db, new.sender, new.room_id).await?)
}

async fn is_reserved(db: &Db, upload_id: &UploadId) -> Result<bool> {
    let row: Option<u8> = db.first("SELECT 1 FROM uploads WHERE upload_id = ?", (upload_id,)).await?;
    Ok(row.is_some())
}

/// Why somebody may not send to a room.
async fn why_refused(db: &Db, sender: &User, room_id: RoomId) -> Result<Error> {
    let room: Option<u8> = db
        .first("SELECT 1 FROM rooms WHERE id = ? AND organization_id = ?", (room_id, sender.organization_id))
        .await?;
    Ok(room.map_or(Error::NotFound(Thing::Room), |_| Error::NotAMember))
}

#[derive(FromRow)]
struct Pending {
    room_id: u64,
    seq: Option<u64>,
    file_name: String,
    #[mysql(rename = "type")]
    file_type: FileType,
    size: u64,
    caption: String,
    is_member: bool,
}

/// An upload of this user's, sent or not.
async fn find(db: &Db, sender: &User, upload_id: &UploadId) -> Result<Pending> {
    let row: Option<Pending> = db
        .first(
            "SELECT f.room_id, f.seq, f.file_name, f.type, f.size, f.caption, m.user_id IS NOT NULL AS is_member
             FROM uploads f JOIN rooms r ON r.id = f.room_id
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

/// Sends a file that was posted to the store, if it is what it was said to be; once, however often it
/// is asked for.
///
/// # Errors
/// [`Error::NotFound`] for an upload that is not the sender's, or of which nothing was posted;
/// [`Error::UnsupportedMediaType`], after which there is no such upload any more; [`Error::NotAMember`]
/// and [`Error::StoreUnavailable`].
pub async fn complete(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
) -> Result<Sent> {
    let upload = find(&app.db, sender, upload_id).await?;
    let room_id = RoomId(upload.room_id);
    if let Some(seq) = upload.seq {
        return message(&app.db, room_id, seq).await.map(Sent::Again);
    }
    match check_and_send(app, sender, by, upload_id, &upload).await {
        // Perhaps since another request has sent it meanwhile.
        Ok(None) => match find(&app.db, sender, upload_id).await?.seq {
            Some(seq) => message(&app.db, room_id, seq).await.map(Sent::Again),
            None => Err(Error::NotFound(Thing::Upload)),
        },
        Ok(Some(seq)) => told(&app.db, room_id, seq).await,
        Err(error) => Err(error),
    }
}

/// None when there is nothing to send, any more or yet.
///
/// The bytes are copied first and looked at then: nobody can put others in the place of a copy. What was
/// posted stays where it is: the sweep erases it ([`tidy`]), and nobody waits for that.
async fn check_and_send(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
    upload: &Pending,
) -> Result<Option<u64>> {
    let deadline = Instant::now() + STORE_TIME;
    // A key of its own for each try: the file of a message is never written again.
    let object_key = random_token::<16>();
    let checked = checked_key(upload_id, &object_key);
    let copied = async {
        match app.files.copy(&posted_key(upload_id), &checked, upload.file_type.media_type()).await? {
            true => app.files.look(&checked).await,
            false => Ok(None),
        }
    };
    let Some(copy) = files::by(deadline, copied).await? else { return Ok(None) };
    let is_as_said =
        copy.size == upload.size && FileType::of(&copy.first, &copy.last) == Some(upload.file_type);
    let sent = match is_as_said {
        true => send_copy(app, sender, by, upload_id, upload, &object_key).await?,
        false => None,
    };
    // Only now is it known to be nobody's: after an error the message may be there all the same, as when
    // the answer to its commit is lost.
    if sent.is_none()
        && let Err(error) = files::by(deadline, app.files.delete(&checked)).await
    {
        error.log("");
    }
    if !is_as_said {
        refuse(&app.db, upload_id).await;
        return Err(Error::UnsupportedMediaType);
    }
    Ok(sent)
}

/// Sends what was checked. None: the sender may not, or it has been sent.
async fn send_copy(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
    upload: &Pending,
    object_key: &str,
) -> Result<Option<u64>> {
    let reserved = Reserved {
        upload_id,
        room_id: RoomId(upload.room_id),
        sender,
        object_key: None,
        file_name: &upload.file_name,
        file_type: upload.file_type,
        size: upload.size,
        sha256: None,
        caption: &upload.caption,
    };
    app.db.transaction(Sending { reserved, by, object_key, again: None }, send).await
}

/// A message to be sent with a file, and what makes it repeatable.
#[derive(Clone, Copy)]
struct Sending<'a> {
    reserved: Reserved<'a>,
    by: Option<&'a ConnectionId>,
    object_key: &'a str,
    again: Option<&'a Repeatable<'a>>,
}

struct Repeatable<'a> {
    id: &'a ClientMessageId,
    hash: Vec<u8>,
}

/// What must be the same when a `clientMessageId` comes again. The mark at its beginning is no length
/// of a text message's content.
fn body_hash(caption: &str, file_name: &str, sha256: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"a file: ");
    for part in [caption.as_bytes(), file_name.as_bytes(), sha256] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// Takes the room's next number for a file that has none yet, if its sender may, and stores its
/// message. None: the sender may not, or it has one.
async fn send(transaction: &mut Transaction<'static>, sending: Sending<'_>) -> Result<Option<u64>> {
    let Sending { reserved, by, object_key, again } = sending;
    let now = time::now();
    // The room first, as in `messages`.
    transaction
        .exec_drop(
            "UPDATE rooms r
             STRAIGHT_JOIN room_members m ON m.room_id = r.id AND m.user_id = :sender
             STRAIGHT_JOIN uploads f ON f.upload_id = :upload_id AND f.room_id = r.id AND f.seq IS NULL
             SET r.last_seq = LAST_INSERT_ID(r.last_seq + 1), r.updated_at = :now
             WHERE r.id = :room_id",
            params! {
                "sender" => &reserved.sender.user_id,
                "upload_id" => reserved.upload_id,
                now,
                "room_id" => reserved.room_id,
            },
        )
        .await?;
    let Some(seq) = transaction.last_insert_id() else { return Ok(None) };
    connections::still_open(transaction, by).await?;
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
    Ok(Some(seq))
}

/// A message just sent, and the sockets of the room's members.
async fn told(db: &Db, room_id: RoomId, seq: u64) -> Result<Sent> {
    let rows: Vec<Row> = db
        .rows(
            &format!(
                "SELECT {}, c.connection_id
                 FROM messages x JOIN users u ON u.user_id = x.sender_id
                 LEFT JOIN (room_members m JOIN connections c
                            ON c.user_id = m.user_id AND c.expires_at > UTC_TIMESTAMP(3)) ON m.room_id = x.room_id
                 WHERE x.room_id = ? AND x.seq = ?",
                // It goes to all of them, and none can have reacted before.
                columns("NULL")
            ),
            (room_id, seq),
        )
        .await?;
    let sockets = rows.iter().filter_map(|row| row.get::<Option<String>, _>("connection_id").flatten());
    let sockets = sockets.map(ConnectionId::new).collect();
    let row = rows.into_iter().next().ok_or(Error::NotFound(Thing::Room))?;
    Ok(Sent::New { message: MessageRow::from_row(row).message(), sockets })
}

async fn message(db: &Db, room_id: RoomId, seq: u64) -> Result<Message> {
    let row: Option<MessageRow> = db
        .first(
            &format!(
                "SELECT {} FROM messages x JOIN users u ON u.user_id = x.sender_id
                 WHERE x.room_id = ? AND x.seq = ?",
                columns("x.sender_id")
            ),
            (room_id, seq),
        )
        .await?;
    row.map(MessageRow::message).ok_or(Error::NotFound(Thing::Upload))
}

/// The message that the sender, who is a member, sent before under this `clientMessageId`.
async fn sent_before(
    db: &Db,
    sender: &User,
    room_id: RoomId,
    again: &Repeatable<'_>,
) -> Result<Option<Message>> {
    let row: Option<Row> = db
        .first(
            &format!(
                "SELECT {}, x.body_hash FROM messages x JOIN users u ON u.user_id = x.sender_id
                 JOIN room_members m ON m.room_id = x.room_id AND m.user_id = x.sender_id
                 WHERE x.room_id = ? AND x.sender_id = ? AND x.client_message_id = ?",
                columns("x.sender_id")
            ),
            (room_id, &sender.user_id, again.id),
        )
        .await?;
    match row {
        None => Ok(None),
        Some(row) if row.get::<Vec<u8>, _>("body_hash").as_ref() == Some(&again.hash) => {
            Ok(Some(MessageRow::from_row(row).message()))
        }
        Some(_) => Err(Error::ClientMessageIdReused),
    }
}

/// Gives up an upload that is not sent, and answers whether there was one to give up. Its bytes are the
/// sweep's.
///
/// # Errors
/// The database's.
async fn give_up(db: &Db, upload_id: &UploadId) -> Result<bool> {
    let sql = "UPDATE uploads SET room_id = NULL WHERE upload_id = ? AND seq IS NULL AND room_id IS NOT NULL";
    // Another request may have sent it meanwhile, and then its bytes are a message's.
    Ok(db.execute(sql, (upload_id,)).await?.affected_rows == 1)
}

/// Gives up an upload after its refusal, which is what the client is told.
async fn refuse(db: &Db, upload_id: &UploadId) {
    if let Err(error) = give_up(db, upload_id).await {
        error.log("");
    }
}

/// Erases an upload that was not sent in time, and answers whether there was one.
///
/// # Errors
/// The database's or the store's; the next sweep then erases what is left.
pub(crate) async fn discard(app: &App, upload_id: &UploadId) -> Result<bool> {
    let is_nobodys = give_up(&app.db, upload_id).await?;
    if is_nobodys {
        erase(app, upload_id).await?;
    }
    Ok(is_nobodys)
}

/// Erases an upload that is nobody's any more: its bytes, and then its row.
pub(crate) async fn erase(app: &App, upload_id: &UploadId) -> Result<()> {
    erase_all_but(app, upload_id, None).await?;
    let sql = "DELETE FROM uploads WHERE upload_id = ? AND room_id IS NULL";
    app.db.execute(sql, (upload_id,)).await.map(drop)
}

/// Erases what lies in the store beside the file of a message: what was posted again, or copied by a
/// request that came to no end.
pub(crate) async fn tidy(app: &App, upload_id: &UploadId, object_key: Option<&str>) -> Result<()> {
    erase_all_but(app, upload_id, object_key).await?;
    app.db.execute("UPDATE uploads SET swept = TRUE WHERE upload_id = ?", (upload_id,)).await.map(drop)
}

/// Erases what was posted more than a day ago to an upload of which there is no row any more: a policy
/// lasts longer than an upload that is refused.
///
/// # Errors
/// The database's or the store's.
pub(crate) async fn erase_strays(app: &App) -> Result<()> {
    let posted = app.files.keys_older_than(POSTED, STRAY_AGE).await?;
    for keys in posted.chunks(500) {
        let ids = keys.iter().map(|key| key.strip_prefix(POSTED).unwrap_or_default());
        let places = vec!["?"; keys.len()].join(", ");
        let sql = format!("SELECT upload_id FROM uploads WHERE upload_id IN ({places})");
        let known: Vec<String> = app.db.rows(&sql, ids.clone().map(Value::from).collect::<Vec<_>>()).await?;
        for (key, _) in keys.iter().zip(ids).filter(|(_, id)| !known.iter().any(|known| known == id)) {
            app.files.delete(key).await?;
        }
    }
    Ok(())
}

async fn erase_all_but(app: &App, upload_id: &UploadId, object_key: Option<&str>) -> Result<()> {
    let kept = object_key.map(|object_key| checked_key(upload_id, object_key));
    let mut keys = app.files.keys(&checked_keys(upload_id)).await?;
    keys.push(posted_key(upload_id));
    for key in keys.iter().filter(|&key| Some(key) != kept.as_ref()) {
        app.files.delete(key).await?;
    }
    Ok(())
}

/// Takes a message's file from it, in the transaction that deletes the message; the sweep erases it.
pub(crate) async fn release(transaction: &mut Transaction<'static>, room_id: RoomId, seq: u64) -> Result<()> {
    let sql = "UPDATE uploads SET room_id = NULL, seq = NULL WHERE room_id = ? AND seq = ?";
    Ok(transaction.exec_drop(sql, (room_id, seq)).await?)
}

/// What does not need an escape in a header's value (RFC 8187 section 3.2.1), or fewer.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `attachment`, so that no browser shows a file as a page, with its name in both spellings.
fn disposition(file_name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._~ ()[]+,".contains(c) { c } else { '_' };
    let ascii: String = file_name.chars().map(plain).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(file_name, ESCAPED))
}

/// A signed URL of a message's file, for the members of its room.
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

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n";

    fn name(file_type: FileType, given: &str) -> String {
        file_type.name(Some(&GivenName::try_from(given.to_owned()).unwrap()))
    }

    #[test]
    fn a_file_is_what_its_bytes_are() {
        for (bytes, file_type) in [(PNG, FileType::Png), (JPEG, FileType::Jpeg), (PDF, FileType::Pdf)] {
            assert_eq!(FileType::of(bytes, bytes), Some(file_type));
        }
        for other in [
            &b""[..],
            b"\x89PNG",
            b"\x89PNG\r\n\x1a\nrest",
            b"\xff\xd8\xff",
            b"GIF89a",
            b"MZ",
            b"PK\x03\x04",
            b"<svg>",
            b"\n%PDF-1.7",
            b"%PDF",
        ] {
            assert_eq!(FileType::of(other, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_file_that_is_two_things_is_neither() {
        for file in [PNG, JPEG, PDF] {
            for other in [PDF, b"<HTML><body>", b"/*<script>", b"<?php ", b"PK\x03\x04"] {
                if file != other {
                    let both = [file, b"padding", other].concat();
                    assert_eq!(FileType::of(&both, b"end"), None, "{:?}", String::from_utf8_lossy(&both));
                }
            }
            assert_eq!(FileType::of(file, b"PK\x05\x06\0\0"), None);
        }
    }

    #[test]
    fn a_name_is_the_last_part_of_a_path_without_what_a_system_may_take_for_more() {
        let long = format!("{} x.png", "x".repeat(199));
        let png = |given| name(FileType::Png, given);
        assert_eq!(png("holiday.png"), "holiday.png");
        assert_eq!(png("../../etc/pass\"wd\".PNG"), "pass_wd_.PNG");
        assert_eq!(png("C:\\photos\\Grüße 😀.png"), "Grüße 😀.png");
        assert_eq!(png("a\r\nSet-Cookie: x=1.png"), "aSet-Cookie_ x=1.png");
        assert_eq!(png("\u{202e}gnp.exe"), "gnp.exe.png");
        assert_eq!(png(".."), "file.png");
        assert_eq!(png(".png"), "png.png");
        assert_eq!(png("folder/"), "folder.png");
        assert_eq!(png("holi\u{ad}day\u{61c}\u{2060}\u{2064}\u{feff}.png"), "holiday.png");
        assert_eq!(png("holiday .png"), "holiday.png");
        assert_eq!(png(&long), format!("{}.png", "x".repeat(199)));
        for device in ["CON.png", "nul", "Aux.tar.png", "prn .png", "com1.png", "LPT9.png", "COM².png"] {
            assert!(png(device).starts_with('_'), "{device}");
        }
        for name in ["CONSOLE.png", "com.png", "com0.png", "com10.png", "my nul.png"] {
            assert_eq!(png(name), name);
        }
        assert_eq!(name(FileType::Jpeg, "a.jpeg"), "a.jpeg");
        assert_eq!(name(FileType::Pdf, "a.png"), "a.png.pdf");
        assert_eq!(FileType::Pdf.name(None), "file.pdf");
        assert_eq!(png(&"x".repeat(900)).chars().count(), 204);
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("Grüße \";x=\r\n.png"),
            "attachment; filename=\"Gr__e __x___.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22%3Bx%3D%0D%0A.png"
        );
    }
}
