//! `/uploads`: files.

use lambda_http::RequestExt;
use serde_json::{Value, json};
use shared::base::ids::UploadId;
use shared::error::Thing;
use shared::events::announce;
use shared::messages::message::Message;
use shared::messages::send::Sent;
use shared::uploads::request::{Shape, Wanted, WantedUrls};
use shared::uploads::upload::{self as files, Upload};
use shared::uploads::{avatars, presign, urls};
use shared::{App, Error, Result};

use crate::form;
use crate::http::{self, Request, Response};

/// `POST /uploads`: sends a small file, as a form.
pub async fn upload(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let (new, file) = form::read(request).await?;
    let sent = files::upload(app, &user, new, file).await?;
    answer(app, &sent).await
}

/// `POST /uploads/presign`: reserves a place in the store, to which the client posts one file directly.
pub async fn create_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::created(&presign::create(app, &user, http::json(&request)?).await?)
}

/// `POST /uploads/{uploadId}/complete`: sends the file that was posted.
pub async fn complete_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let upload_id: UploadId = http::path_id(&request, "uploadId")?;
    let sent = presign::complete(app, &user, None, &upload_id).await?;
    answer(app, &sent).await
}

/// `GET /uploads/{uploadId}`: redirects to a file or to its thumbnail, or answers their URLs, for members of its room.
pub async fn get_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let (upload_id, wanted): (UploadId, Wanted) =
        http::both(http::path_id(&request, "uploadId"), http::query(&request))?;
    let urls = urls::of_file(app, &user, &upload_id).await?;
    match wanted.shape {
        None => http::found(&urls.url),
        Some(Shape::Json) => http::ok(&urls),
        Some(Shape::Thumbnail) => {
            http::found(urls.thumbnail_url.as_deref().ok_or(Error::NotFound(Thing::Upload))?)
        }
    }
}

/// `POST /api/uploads/urls`: the URLs of several files, without those that the user may not have.
pub async fn get_upload_urls(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let WantedUrls { upload_ids } = http::json(&request)?;
    http::ok(&json!({ "uploads": urls::of_files(app, &user, &upload_ids).await? }))
}

/// `GET /avatars/{key}`: an avatar, for anybody who knows its key.
pub async fn get_avatar(app: &App, request: Request) -> Result<Response> {
    let key = request.path_parameters_ref().and_then(|path| path.first("key")).unwrap_or_default();
    http::kept(avatars::read(app, key).await?)
}

/// Notifies the room of a file, and answers its sender.
async fn answer(app: &App, sent: &Sent) -> Result<Response> {
    app.tell(announce::sent(sent, None)).await;
    http::created_or_repeated(sent.is_new(), &body(&sent.message))
}

fn body(message: &Message) -> Value {
    json!({ "upload": Upload::of(message), "message": message })
}
