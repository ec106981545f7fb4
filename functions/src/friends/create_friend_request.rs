use serde_json::json;
use shared::{App, Result, friends};

use super::announce;
use crate::http::{self, Request, Response};

/// `POST /api/friend-requests`: ask somebody to be friends, or accept by asking back.
pub async fn create_friend_request(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let friend_request = friends::ask(&app.db, &user, &http::json(&request)?).await?;
    announce(app, &friend_request).await;
    http::created(&json!({ "friendRequest": friend_request }))
}
