use shared::auth::login;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/auth/login`: a new session, by any of a user's identifiers and the password.
pub async fn login(app: &App, request: Request) -> Result<Response> {
    let logged_in = login::login(app, &http::address(&request), http::json(&request)?).await?;
    http::ok(&logged_in)
}
