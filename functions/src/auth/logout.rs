use shared::auth::session;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/auth/logout`: ends the session, or all of the user's, and their sockets.
pub async fn logout(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    session::log_out(app, &user, &http::json_or_nothing(&request)?).await?;
    http::no_content()
}
