use serde_json::json;
use shared::{App, Result, invitations};

use crate::http::{self, Request, Response};

/// `GET /api/invitations`: what one sent and received, never a token.
pub async fn list_invitations(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    http::ok(&json!({ "invitations": invitations::list(&app.db, &asker).await? }))
}
