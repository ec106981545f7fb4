//! The signed URLs of files (`docs/contract.md`, "Files").
//!
//! Everybody gets the same URL of a file for an hour, so that browsers can keep the file. It stands in the upload's row,
//! since functions sign with different credentials.

use std::time::Duration;

use chrono::NaiveDateTime;
use mysql_async::Value;
use mysql_async::prelude::FromRow;
use serde::Serialize;

use crate::app::App;
use crate::base::db::places;
use crate::base::file_type::{FileType, disposition};
use crate::base::ids::UploadId;
use crate::base::time;
use crate::base::user::User;
use crate::error::Thing;
use crate::uploads::request::UploadIds;
use crate::uploads::row::{checked_key, thumbnail_key};
use crate::{Error, Result};

/// How long a URL is valid.
const LIFETIME: Duration = Duration::from_secs(65 * 60);
/// How long it is still valid when it is given out for the last time.
const LEFT: chrono::Duration = chrono::Duration::minutes(5);

/// The URLs of a file, which need no token.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct FileUrls {
    pub upload_id: UploadId,
    pub url: String,
    pub thumbnail_url: Option<String>,
    #[serde(serialize_with = "time::serialize")]
    pub expires_at: NaiveDateTime,
}

/// Returns the URLs of a message's file, for a member of its room.
///
/// # Errors
/// [`Error::NotFound`], also once the message has been deleted; [`Error::NotAMember`], and
/// [`Error::StoreUnavailable`] without credentials for signing.
pub async fn of_file(app: &App, asker: &User, upload_id: &UploadId) -> Result<FileUrls> {
    let found = signed(app, asker, std::slice::from_ref(upload_id)).await?.pop();
    let file = found.ok_or(Error::NotFound(Thing::Upload))?;
    if !file.is_member {
        return Err(Error::NotAMember);
    }
    file.urls().ok_or(Error::NotFound(Thing::Upload))
}

/// Returns the URLs of several files, in the order in which they are asked for. Those that [`of_file`] refuses are left
/// out.
///
/// # Errors
/// [`Error::StoreUnavailable`] without credentials for signing.
pub async fn of_files(app: &App, asker: &User, wanted: &UploadIds) -> Result<Vec<FileUrls>> {
    let UploadIds(upload_ids) = wanted;
    let found = signed(app, asker, upload_ids).await?;
    let files = found.into_iter().filter(|file| file.is_member);
    let mut urls: Vec<FileUrls> = files.filter_map(File::urls).collect();
    urls.sort_by_key(|urls| upload_ids.iter().position(|upload_id| *upload_id == urls.upload_id));
    Ok(urls)
}

#[derive(FromRow)]
struct File {
    upload_id: UploadId,
    object_key: String,
    file_name: String,
    #[mysql(rename = "type")]
    file_type: FileType,
    thumbnail: Option<FileType>,
    url: Option<String>,
    thumbnail_url: Option<String>,
    url_expires_at: Option<NaiveDateTime>,
    is_member: bool,
}

impl File {
    fn urls(self) -> Option<FileUrls> {
        Some(FileUrls {
            upload_id: self.upload_id,
            url: self.url?,
            thumbnail_url: self.thumbnail_url,
            expires_at: self.url_expires_at?,
        })
    }
}

/// Finds files of messages, each with a URL that is valid for some time yet if the asker is a member of its room.
async fn signed(app: &App, asker: &User, upload_ids: &[UploadId]) -> Result<Vec<File>> {
    let mut files = find(app, asker, upload_ids).await?;
    let soon = time::now() + LEFT;
    let is_old = |file: &File| file.is_member && file.url_expires_at.is_none_or(|end| end < soon);
    let old: Vec<File> = files.extract_if(.., |file| is_old(file)).collect();
    if !old.is_empty() {
        keep_new(app, &old, soon).await?;
        // Of several requests that have signed, all get the URL of the first.
        let upload_ids: Vec<UploadId> = old.into_iter().map(|file| file.upload_id).collect();
        files.extend(find(app, asker, &upload_ids).await?);
    }
    Ok(files)
}

async fn find(app: &App, asker: &User, upload_ids: &[UploadId]) -> Result<Vec<File>> {
    // Lengths are powers of two, so that the server prepares few statements.
    let count = upload_ids.len().next_power_of_two();
    let last = upload_ids.last();
    let upload_ids = upload_ids.iter().chain(last.into_iter().cycle()).take(count);
    let params: Vec<Value> = std::iter::once(Value::from(&asker.user_id))
        .chain(upload_ids.map(Value::from))
        .chain([asker.organization_id.into()])
        .collect();
    let sql = format!(
        "SELECT f.upload_id, f.object_key, f.file_name, f.type, f.thumbnail, f.url, f.thumbnail_url, f.url_expires_at,
                m.user_id IS NOT NULL AS is_member
         FROM uploads f FORCE INDEX (PRIMARY)
         STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = f.room_id
         STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY)
            ON x.room_id = f.room_id AND x.seq = f.seq AND x.deleted_at IS NULL
         LEFT JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = r.id AND m.user_id = ?
         WHERE f.upload_id IN ({}) AND r.organization_id = ?",
        places(count)
    );
    app.db.rows(&sql, params).await
}

/// Signs new URLs of these files. One statement stores those of the files that have no newer ones yet.
async fn keep_new(app: &App, files: &[File], soon: NaiveDateTime) -> Result<()> {
    let signer = app.files.signer(LIFETIME).await?;
    let (mut urls, mut thumbnail_urls) = (Vec::new(), Vec::new());
    for File { upload_id, object_key, file_name, file_type, thumbnail, .. } in files {
        let key = checked_key(upload_id, object_key);
        let url = signer.url(&key, file_type.media_type(), &disposition(file_name)).await?;
        let thumbnail_url = match thumbnail {
            Some(file_type) => {
                let (key, name) = (thumbnail_key(upload_id, object_key), file_type.name(None));
                Some(signer.url(&key, file_type.media_type(), &disposition(&name)).await?)
            }
            None => None,
        };
        urls.extend([upload_id.into(), Value::from(url)]);
        thumbnail_urls.extend([upload_id.into(), Value::from(thumbnail_url)]);
    }
    let choice = "WHEN ? THEN ? ".repeat(files.len());
    let sql = format!(
        "UPDATE uploads FORCE INDEX (PRIMARY)
         SET url = CASE upload_id {choice} END, thumbnail_url = CASE upload_id {choice} END, url_expires_at = ?
         WHERE upload_id IN ({}) AND seq IS NOT NULL AND (url_expires_at IS NULL OR url_expires_at < ?)",
        places(files.len())
    );
    let params = urls.into_iter().chain(thumbnail_urls).chain([signer.expires_at.into()]);
    let params = params.chain(files.iter().map(|file| Value::from(&file.upload_id))).chain([soon.into()]);
    app.db.execute(&sql, params.collect::<Vec<_>>()).await.map(drop)
}
