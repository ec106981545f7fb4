use serde_json::json;
use shared::{App, Result, users};

use crate::http::{self, Request, Response};

/// `GET /api/friends`: the profiles of one's friends.
pub async fn list_friends(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::ok(&json!({ "friends": users::friends(&app.db, &user).await? }))
}
