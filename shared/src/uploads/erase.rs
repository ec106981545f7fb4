//! Erasing files that belong to no message. Functions only release the rows. The sweep erases the bytes,
//! which it finds by the rows or, once a row is gone, by their age.

use std::time::Duration;

use mysql_async::Value;

use crate::Result;
use crate::app::App;
use crate::base::db::places;
use crate::base::ids::UploadId;
use crate::uploads::row::{POSTED, checked_key, checked_keys, give_up, posted_key, thumbnail_key};

/// A posted file without a row that is older than this will never get one.
const STRAY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Erases an upload that was not sent in time. Returns whether there was one.
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

/// Erases a released upload: its bytes, and then its row.
pub(crate) async fn erase(app: &App, upload_id: &UploadId) -> Result<()> {
    erase_all_but(app, upload_id, None).await?;
    let sql = "DELETE FROM uploads WHERE upload_id = ? AND room_id IS NULL";
    app.db.execute(sql, (upload_id,)).await.map(drop)
}

/// Erases everything that the store has of an upload besides the message's file and its thumbnail: what was posted again, or
/// copied by a request that did not finish.
pub(crate) async fn tidy(app: &App, upload_id: &UploadId, object_key: Option<&str>) -> Result<()> {
    erase_all_but(app, upload_id, object_key).await?;
    app.db.execute("UPDATE uploads SET swept = TRUE WHERE upload_id = ?", (upload_id,)).await.map(drop)
}

/// Erases what was posted more than a day ago to an upload whose row is gone. This happens because a policy
/// outlives an upload that was refused.
///
/// # Errors
/// The database's or the store's.
pub(crate) async fn erase_strays(app: &App) -> Result<()> {
    let posted = app.files.keys_older_than(POSTED, STRAY_AGE).await?;
    for keys in posted.chunks(500) {
        let ids = keys.iter().map(|key| key.strip_prefix(POSTED).unwrap_or_default());
        let places = places(keys.len());
        let sql = format!("SELECT upload_id FROM uploads WHERE upload_id IN ({places})");
        let known: Vec<UploadId> =
            app.db.rows(&sql, ids.clone().map(Value::from).collect::<Vec<_>>()).await?;
        for (key, _) in
            keys.iter().zip(ids).filter(|(_, id)| !known.iter().any(|known| known.as_str() == *id))
        {
            app.files.delete(key).await?;
        }
    }
    Ok(())
}

async fn erase_all_but(app: &App, upload_id: &UploadId, object_key: Option<&str>) -> Result<()> {
    let kept = object_key.map(|key| [checked_key(upload_id, key), thumbnail_key(upload_id, key)]);
    let kept = kept.as_slice().as_flattened();
    let mut keys = app.files.keys(&checked_keys(upload_id)).await?;
    keys.push(posted_key(upload_id));
    for key in keys.iter().filter(|key| !kept.contains(key)) {
        app.files.delete(key).await?;
    }
    Ok(())
}
