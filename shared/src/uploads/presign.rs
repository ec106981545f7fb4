//! Larger files, which their sender posts to the store: with a policy that allows it ([`create`]), before they are
//! checked and sent ([`complete`]).

use std::time::Duration;

use chrono::NaiveDateTime;
use serde::Serialize;
use tokio::time::Instant;

use crate::app::App;
use crate::base::file_type::FileType;
use crate::base::files::{self, Form};
use crate::base::ids::{ConnectionId, UploadId};
use crate::base::rate_limit::{self, Limited};
use crate::base::time;
use crate::base::tokens::random_token;
use crate::base::user::User;
use crate::error::Thing;
use crate::messages::send::Sent;
use crate::messages::slow_mode;
use crate::uploads::request::{Caption, NewPost, TO_THE_STORE, accepted};
use crate::uploads::row::{self, Posted, Reserved, checked_key, posted_key, thumbnail_key};
use crate::uploads::send::{Repeatable, Sending, message, send_file};
use crate::uploads::thumbnail;
use crate::{Error, Result};

/// How long a policy allows its file to be posted, in minutes.
const POLICY_MINUTES: i64 = 15;
/// How long [`complete`] waits for the store in all. The rest of a function's 28 s is for the database and
/// the pushes.
const STORE_TIME: Duration = Duration::from_secs(18);

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

/// Reserves a place in the store for one file of this type and size, for fifteen minutes.
///
/// # Errors
/// [`Error::PayloadTooLarge`], [`Error::UnsupportedMediaType`], [`Error::NotFound`], [`Error::NotAMember`],
/// [`Error::RateLimited`] and [`Error::StoreUnavailable`].
pub async fn create(app: &App, sender: &User, new: NewPost) -> Result<Place> {
    let file_type = accepted(&app.config, FileType::named(&new.said_type))?;
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
        client_message_id: new.client_message_id.as_ref(),
    };
    row::reserve(&app.db, reserved).await?;
    Ok(Place { upload_id, form, expires_at })
}

/// Sends a file that was posted to the store, if it has its declared type and size. Repeated calls send it
/// only once, and so do uploads with one `clientMessageId`.
///
/// # Errors
/// [`Error::NotFound`] for an upload that is not the sender's, or to which nothing was posted;
/// [`Error::UnsupportedMediaType`], after which the upload no longer exists; [`Error::RateLimited`], [`Error::SlowMode`] and
/// [`Error::Overloaded`], after which it can be completed later; [`Error::ClientMessageIdReused`],
/// [`Error::NotAMember`] and [`Error::StoreUnavailable`].
pub async fn complete(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
) -> Result<Sent> {
    let upload = row::find(&app.db, sender, upload_id).await?;
    let room_id = upload.room_id;
    if let Some(seq) = upload.seq {
        return message(&app.db, room_id, seq).await.map(Sent::before);
    }
    // Nobody has read the file. What is known of its bytes is what they were said to be, and that is checked.
    let bytes = format!("{} bytes of {}", upload.size, upload.file_type.media_type());
    let again = upload.client_message_id.as_ref();
    let again = again.map(|id| Repeatable::new(id, &upload.caption, &upload.file_name, bytes.as_bytes()));
    // This upload stays, so that completing it again is answered alike, until the sweep erases it.
    if let Some(again) = &again
        && let Some(sent) = again.sent_before(&app.db, sender, room_id).await?
    {
        return Ok(sent);
    }
    // Otherwise each try would copy and decode the file, and then be refused.
    if upload.slow_mode_seconds > 0 {
        app.db.transaction((room_id, &sender.user_id), slow_mode::check).await?;
    }
    if let Some(sent) = check_and_send(app, sender, by, upload_id, &upload, again.as_ref()).await? {
        return Ok(sent);
    }
    // Another request may have sent it in the meantime.
    match row::find(&app.db, sender, upload_id).await?.seq {
        Some(seq) => message(&app.db, room_id, seq).await.map(Sent::before),
        None => Err(Error::NotFound(Thing::Upload)),
    }
}

/// Checks a posted file and sends it. Returns `None` when there is nothing to send yet, or nothing any more.
///
/// The bytes are copied first and then checked, because nobody can replace the bytes of the copy. The posted
/// file stays; the sweep erases it later ([`tidy`](crate::uploads::erase::tidy)), so that no request waits for that.
async fn check_and_send(
    app: &App,
    sender: &User,
    by: Option<&ConnectionId>,
    upload_id: &UploadId,
    upload: &Posted,
    again: Option<&Repeatable<'_>>,
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
    let is_as_said = copy.size == upload.size && upload.file_type.confirmed(&copy.first).is_some();
    let sent = match is_as_said {
        true => {
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
                client_message_id: upload.client_message_id.as_ref(),
            };
            send_copy(app, deadline, &checked, &object_key, reserved, by, again).await
        }
        false => Ok(None),
    };
    // Delete the copy only when no message can have it. After another error the message may exist all the
    // same, for example when the answer to its commit was lost.
    let is_unused = match &sent {
        Ok(sent) => !sent.as_ref().is_some_and(Sent::is_new),
        Err(error) => {
            matches!(
                error,
                Error::RateLimited(_)
                    | Error::SlowMode(_)
                    | Error::Overloaded { .. }
                    | Error::ClientMessageIdReused
            )
        }
    };
    if is_unused {
        let erased = async {
            app.files.delete(&thumbnail_key(upload_id, &object_key)).await?;
            app.files.delete(&checked).await
        };
        if let Err(error) = files::by(deadline, erased).await {
            error.log();
        }
    }
    if !is_as_said {
        row::give_up_refused(&app.db, upload_id).await;
        return Err(Error::UnsupportedMediaType);
    }
    sent
}

/// Makes the thumbnail of a checked copy and sends it. Returns `None` when the sender may not send it, or when it has
/// already been sent.
async fn send_copy(
    app: &App,
    deadline: Instant,
    checked: &str,
    object_key: &str,
    reserved: Reserved<'_>,
    by: Option<&ConnectionId>,
    again: Option<&Repeatable<'_>>,
) -> Result<Option<Sent>> {
    let read = async { Ok(app.files.get(checked, TO_THE_STORE).await?.map(|file| file.bytes)) };
    let looks = thumbnail::store(app, reserved.upload_id, object_key, reserved.file_type, read);
    let looks = files::by(deadline, looks).await?;
    send_file(app, Sending { reserved, by, object_key, looks, again }).await
}
