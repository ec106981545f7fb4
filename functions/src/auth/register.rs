use shared::auth::registration;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/auth/register`: a new user, signed in.
pub async fn register(app: &App, request: Request) -> Result<Response> {
    let registered = registration::register(app, &http::address(&request), http::json(&request)?).await?;
    http::created(&registered)
}
