use serde_json::json;
use shared::{App, Result, friends};

use crate::http::{self, Request, Response};

/// `GET /api/friend-requests`: one's requests, sent and received.
pub async fn list_friend_requests(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::ok(&json!({ "friendRequests": friends::requests(&app.db, &user).await? }))
}
