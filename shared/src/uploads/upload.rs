//! Small files, which come through a function.

use serde::Serialize;

use crate::app::App;
use crate::base::file_type::FileType;
use crate::base::files::HEAD_BYTES;
use crate::base::ids::UploadId;
use crate::base::rate_limit::{self, Limited};
use crate::base::sha256::sha256;
use crate::base::tokens::random_token;
use crate::base::user::User;
use crate::messages::message::{Attachment, Message};
use crate::messages::send::Sent;
use crate::uploads::request::{Caption, NewFile, NewUpload, THROUGH_A_FUNCTION, accepted};
use crate::uploads::row::{self, Reserved};
use crate::uploads::send::{Repeatable, Sending, send_file};
use crate::uploads::thumbnail;
use crate::{Error, Result};

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
    let found = match &file.said_type {
        Some(said) => FileType::named(said).and_then(|said| said.confirmed(first)),
        None => FileType::of(first),
    };
    let file_type = accepted(&app.config, found)?;
    let file_name = file_type.name(file.name.as_ref());
    let file_hash = sha256(&[&file.bytes]);
    let caption = new.caption.as_ref().map(Caption::as_str).unwrap_or_default();
    let again = new.client_message_id.as_ref();
    let again = again.map(|id| Repeatable::new(id, caption, &file_name, &file_hash));
    if let Some(again) = &again
        && let Some(sent) = again.sent_before(&app.db, sender, new.room_id).await?
    {
        return Ok(sent);
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
        client_message_id: new.client_message_id.as_ref(),
    };
    row::reserve(&app.db, reserved).await?;
    // From here on the sweep finds whatever this call leaves behind.
    let key = row::checked_key(&upload_id, &object_key);
    let bytes = file.bytes.clone();
    let (looks, ()) = tokio::try_join!(
        thumbnail::store(app, &upload_id, &object_key, file_type, async { Ok(Some(bytes)) }),
        app.files.put(&key, file_type.media_type(), file.bytes)
    )?;
    let sending = Sending { reserved, by: None, object_key: &object_key, looks, again: again.as_ref() };
    let sent = send_file(app, sending).await;
    if !matches!(&sent, Ok(Some(sent)) if sent.is_new()) {
        row::give_up_refused(&app.db, &upload_id).await;
    }
    match sent? {
        Some(sent) => Ok(sent),
        None => Err(row::why_refused(&app.db, sender, new.room_id).await?),
    }
}
