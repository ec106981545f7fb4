use serde_json::json;
use shared::{App, Result, members};

use super::MemberPath;
use crate::http::{self, Request, Response};

/// `PATCH /api/rooms/{roomId}/members/{userId}`: the owner makes and unmakes moderators.
pub async fn update_member(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let (MemberPath { room_id, user_id }, appointment) =
        http::both(http::path(&request), http::json(&request))?;
    let member = members::appoint(&app.db, &user, room_id, &user_id, appointment).await?;
    http::ok(&json!({ "member": member }))
}
