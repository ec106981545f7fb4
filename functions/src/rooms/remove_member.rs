use shared::{App, Result, members};

use super::MemberPath;
use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `DELETE /api/rooms/{roomId}/members/{userId}`: remove somebody else from a room.
pub async fn remove_member(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let MemberPath { room_id, user_id } = http::path(&request)?;
    let removed = members::remove(&app.db, &user, room_id, &user_id).await?;
    app.tell(announce::removed(app, room_id, &user_id, &removed).await).await;
    http::no_content()
}
