use shared::{App, Result, uploads};

use crate::http::{self, Request, Response};

/// `POST /uploads/presign`: a place in the store, to which a client posts one file itself.
pub async fn create_upload(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::created(&uploads::create(app, &user, http::json(&request)?).await?)
}
