//! `/uploads`: files.

use serde_json::{Value, json};
use shared::base::ids::UploadId;
use shared::events::announce;
use shared::messages::message::Message;
use shared::messages::send::Sent;
use shared::uploads::upload::{self as files, Upload};
use shared::{App, Result};

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
    http::created(&files::create(app, &user, http::json(&request)?).await?)
}

/// `POST /uploads/{uploadId}/complete`: sends the file that was posted.
pub async fn complete_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let upload_id: UploadId = http::path_id(&request, "uploadId")?;
    let sent = files::complete(app, &user, None, &upload_id).await?;
    answer(app, &sent).await
}

/// `GET /uploads/{uploadId}`: redirects to a file, for members of its room.
pub async fn get_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let upload_id: UploadId = http::path_id(&request, "uploadId")?;
    http::found(&files::signed_url(app, &user, &upload_id).await?)
}

/// Notifies the room of a file, and answers its sender.
async fn answer(app: &App, sent: &Sent) -> Result<Response> {
    app.tell(announce::sent(sent, None)).await;
    http::created_or_repeated(sent.is_new(), &body(&sent.message))
}

fn body(message: &Message) -> Value {
    json!({ "upload": Upload::of(message), "message": message })
}
