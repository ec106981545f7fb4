use serde_json::json;
use shared::messages::{self, Draft, Sender, Sent};
use shared::{App, Result};

use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /api/messages`: send a message to a room.
pub async fn send_message(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let draft: Draft = http::json(&request)?;
    match messages::send(app, Sender::User(&user), &draft).await? {
        Sent::New { message, sockets } => {
            app.tell(announce::sent(&message, sockets, None)).await;
            http::created(&json!({ "message": message }))
        }
        Sent::Again(message) => http::ok(&json!({ "message": message })),
    }
}
