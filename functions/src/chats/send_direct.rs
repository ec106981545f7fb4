use serde_json::json;
use shared::messages::Sent;
use shared::{App, Result, direct};

use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /chats/send-message`: write to somebody, or to a room.
pub async fn send_direct(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    match direct::send(app, &user, http::json(&request)?).await? {
        Sent::New { message, sockets } => {
            app.tell(announce::sent(&message, sockets, None)).await;
            http::created(&json!({ "chatId": message.room_id, "message": message }))
        }
        Sent::Again(message) => http::ok(&json!({ "chatId": message.room_id, "message": message })),
    }
}
