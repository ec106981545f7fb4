//! An upload's row, which is stored before its bytes and before its message, and the keys of its objects.

use mysql_async::params;
use mysql_async::prelude::FromRow;

use crate::base::db::Db;
use crate::base::file_type::FileType;
use crate::base::ids::{RoomId, UploadId};
use crate::base::time;
use crate::base::user::User;
use crate::error::Thing;
use crate::messages::message::ClientMessageId;
use crate::{Error, Result};

/// An upload's row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reserved<'a> {
    pub(super) upload_id: &'a UploadId,
    pub(super) room_id: RoomId,
    pub(super) sender: &'a User,
    pub(super) object_key: Option<&'a str>,
    pub(super) file_name: &'a str,
    pub(super) file_type: FileType,
    pub(super) size: u64,
    pub(super) sha256: Option<&'a [u8]>,
    pub(super) caption: &'a str,
    pub(super) client_message_id: Option<&'a ClientMessageId>,
}

/// The prefix of the keys that policies allow.
pub(crate) const POSTED: &str = "incoming/";
/// The prefix of the keys of checked files and of their thumbnails.
pub(crate) const CHECKED: &str = "files/";

/// Returns the key to which a policy allows a file to be posted.
pub(crate) fn posted_key(upload_id: &UploadId) -> String {
    format!("{POSTED}{upload_id}")
}

/// Returns the key of a checked file.
pub(crate) fn checked_key(upload_id: &UploadId, object_key: &str) -> String {
    format!("{}{object_key}", checked_keys(upload_id))
}

/// Returns the key of the thumbnail of a checked file.
pub(crate) fn thumbnail_key(upload_id: &UploadId, object_key: &str) -> String {
    format!("{}.thumbnail", checked_key(upload_id, object_key))
}

pub(crate) fn checked_keys(upload_id: &UploadId) -> String {
    format!("{CHECKED}{upload_id}/")
}

/// Stores the row of an upload, if its sender is a member of the room.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`] and [`Error::Unauthenticated`].
pub(super) async fn reserve(db: &Db, new: Reserved<'_>) -> Result<()> {
    let done = db
        .execute(
            "INSERT INTO uploads (upload_id, room_id, sender_id, object_key, file_name, type, size, sha256, caption,
                                  client_message_id, created_at)
             SELECT :upload_id, m.room_id, m.user_id, :object_key, :file_name, :type, :size, :sha256, :caption,
                    :client_message_id, :now
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
                "client_message_id" => new.client_message_id,
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
pub(super) async fn why_refused(db: &Db, sender: &User, room_id: RoomId) -> Result<Error> {
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

/// An upload that was posted to the store.
#[derive(FromRow)]
pub(super) struct Posted {
    pub(super) room_id: RoomId,
    /// The number of its message, if it was sent.
    pub(super) seq: Option<u64>,
    pub(super) file_name: String,
    #[mysql(rename = "type")]
    pub(super) file_type: FileType,
    pub(super) size: u64,
    pub(super) caption: String,
    pub(super) client_message_id: Option<ClientMessageId>,
    /// The room's.
    pub(super) slow_mode_seconds: u32,
    is_member: bool,
}

/// Finds an upload of this user, sent or not.
///
/// # Errors
/// [`Error::NotFound`] when the user has no such upload, [`Error::NotAMember`].
pub(super) async fn find(db: &Db, sender: &User, upload_id: &UploadId) -> Result<Posted> {
    let row: Option<Posted> = db
        .first(
            "SELECT f.room_id, f.seq, f.file_name, f.type, f.size, f.caption, f.client_message_id,
                    r.slow_mode_seconds, m.user_id IS NOT NULL AS is_member
             FROM uploads f JOIN rooms r ON r.id = f.room_id AND r.organization_id IS NOT NULL
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = f.sender_id
             WHERE f.upload_id = ? AND f.sender_id = ?",
            (upload_id, &sender.user_id),
        )
        .await?;
    match row {
        None => Err(Error::NotFound(Thing::Upload)),
        Some(Posted { is_member: false, .. }) => Err(Error::NotAMember),
        Some(upload) => Ok(upload),
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
pub(super) async fn give_up_refused(db: &Db, upload_id: &UploadId) {
    if let Err(error) = give_up(db, upload_id).await {
        error.log();
    }
}
