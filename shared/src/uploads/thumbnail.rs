//! Thumbnails, which lie beside their images in the store.

use bytes::Bytes;

use crate::Result;
use crate::app::App;
use crate::base::file_type::FileType;
use crate::base::ids::UploadId;
use crate::base::pictures::Looks;
use crate::uploads::row::thumbnail_key;

/// Looks at an image, and stores its thumbnail if it can be decoded. Other files are not read.
///
/// # Errors
/// [`crate::Error::Overloaded`] when too many images wait, [`crate::Error::StoreUnavailable`].
pub(super) async fn store(
    app: &App,
    upload_id: &UploadId,
    object_key: &str,
    file_type: FileType,
    read: impl Future<Output = Result<Option<Bytes>>>,
) -> Result<Looks> {
    if !file_type.is_image() {
        return Ok(Looks::default());
    }
    let turn = app.pictures.turn().await?;
    let Some(bytes) = read.await? else { return Ok(Looks::default()) };
    let (size, small) = turn.look(bytes, file_type).await;
    let Some(small) = small else { return Ok(Looks { size, thumbnail: None }) };
    let key = thumbnail_key(upload_id, object_key);
    app.files.put(&key, small.file_type.media_type(), small.bytes).await?;
    Ok(Looks { size, thumbnail: Some(small.file_type) })
}
