use shared::auth::session;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/auth/refresh-token`: fresh tokens for a refresh token, which is used up by it.
pub async fn refresh_token(app: &App, request: Request) -> Result<Response> {
    http::ok(&session::refresh(app, &http::json(&request)?).await?)
}
