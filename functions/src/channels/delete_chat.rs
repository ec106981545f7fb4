use shared::{App, Result, channels, rooms};

use crate::http::{self, Request, Response};
use crate::rooms::RoomPath;
use crate::websocket::announce;

/// `DELETE /api/chat/{roomId}`: an admin deletes a channel and all that is in it.
pub async fn delete_chat(app: &App, request: Request) -> Result<Response> {
    let admin = http::user(app, &request).await?;
    let RoomPath { room_id } = http::path(&request)?;
    let members = channels::delete(&app.db, &admin, room_id).await?;
    app.tell(announce::room_deleted(app, room_id, &members).await).await;
    rooms::erase(&app.db, room_id).await;
    http::no_content()
}
