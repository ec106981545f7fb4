use serde_json::json;
use shared::{App, Result, rooms};

use crate::http::{self, Request, Response};

/// `POST /api/chatrooms`: a prime user makes a password room.
pub async fn create_chatroom(app: &App, request: Request) -> Result<Response> {
    let creator = http::user(app, &request).await?;
    let room = rooms::create_prime(app, &creator, http::json(&request)?).await?;
    http::created(&json!({ "room": room }))
}
