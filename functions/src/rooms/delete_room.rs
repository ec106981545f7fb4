use shared::{App, Result, rooms};

use super::RoomPath;
use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `DELETE /api/rooms/{roomId}`: its owner deletes a password room or a group.
pub async fn delete_room(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let RoomPath { room_id } = http::path(&request)?;
    let members = rooms::delete(&app.db, &user, room_id).await?;
    app.tell(announce::room_deleted(app, room_id, &members).await).await;
    rooms::erase(&app.db, room_id).await;
    http::no_content()
}
