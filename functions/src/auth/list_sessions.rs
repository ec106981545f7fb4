use serde_json::json;
use shared::auth::session;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `GET /api/auth/sessions`: the devices that one is signed in on.
pub async fn list_sessions(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::ok(&json!({ "sessions": session::list(&app.db, &user).await? }))
}
