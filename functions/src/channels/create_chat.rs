use serde_json::json;
use shared::channels::{self, NewChannel};
use shared::{App, Result};

use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /api/chat`: an admin or a moderator makes a channel.
pub async fn create_chat(app: &App, request: Request) -> Result<Response> {
    let creator = http::user(app, &request).await?;
    let NewChannel { name } = http::json(&request)?;
    let room = channels::create(&app.db, &creator, None, &name).await?;
    app.tell(announce::new_chat_room(app, &room, &[], None).await).await;
    http::created(&json!({ "chatRoom": room }))
}
