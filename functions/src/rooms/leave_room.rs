use shared::{App, Result, members};

use super::RoomPath;
use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /api/rooms/{roomId}/leave`: leave a room.
pub async fn leave_room(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let RoomPath { room_id } = http::path(&request)?;
    let seq = members::leave(&app.db, &user, None, room_id).await?;
    app.tell(announce::left(app, &user, room_id, seq, None).await).await;
    http::no_content()
}
