use shared::{App, Result, users};

use crate::http::{self, Request, Response};

/// `POST /api/auth/register`: a new user, signed in.
pub async fn register(app: &App, request: Request) -> Result<Response> {
    let registered = users::register(app, http::json(&request)?).await?;
    http::created(&registered)
}
