use serde_json::json;
use shared::{App, Result, organizations};

use crate::http::{self, Request, Response};

/// `POST /api/organization/join-code`: an admin renews the code that lets people register into the
/// organization.
pub async fn renew_join_code(app: &App, request: Request) -> Result<Response> {
    let admin = http::user(app, &request).await?;
    http::created(&json!({ "joinCode": organizations::renew_join_code(&app.db, &admin).await? }))
}
