use serde_json::json;
use shared::{App, Result, profiles};

use crate::http::{self, Request, Response};

/// `GET /api/friends`: the profiles of one's friends.
pub async fn list_friends(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::ok(&json!({ "friends": profiles::friends(&app.db, &user).await? }))
}
