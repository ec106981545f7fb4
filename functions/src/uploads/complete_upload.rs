use shared::{App, Result, uploads};

use super::Path;
use crate::http::{self, Request, Response};

/// `POST /uploads/{uploadId}/complete`: send the file that was posted.
pub async fn complete_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let Path { upload_id } = http::path(&request)?;
    super::answer(app, uploads::complete(app, &user, None, &upload_id).await?).await
}
