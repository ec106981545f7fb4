use serde_json::json;
use shared::{App, Result, members};

use super::RoomPath;
use crate::http::{self, Request, Response};

/// `GET /api/rooms/{roomId}/members`: who is in a room, for its members.
pub async fn list_members(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let RoomPath { room_id } = http::path(&request)?;
    http::ok(&json!({ "members": members::list(&app.db, &asker, room_id).await? }))
}
