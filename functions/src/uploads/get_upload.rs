use shared::{App, Result, uploads};

use super::Path;
use crate::http::{self, Request, Response};

/// `GET /uploads/{uploadId}`: the way to a file, for members of its room.
pub async fn get_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let Path { upload_id } = http::path(&request)?;
    http::found(&uploads::signed_url(app, &user, &upload_id).await?)
}
