//! `/api/bootstrap`, `/chats` and `/api/sync`: the rooms of a user and their history, and direct chats.

use serde_json::json;
use shared::base::source::Source;
use shared::events::announce;
use shared::membership::direct;
use shared::messages::{bootstrap, chats, history, sync};
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `GET /api/bootstrap`: what a client needs after signing in.
pub async fn bootstrap(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    http::ok(&bootstrap::read(&app.db, &user).await?)
}

/// `GET /chats`: the rooms that the user is in.
pub async fn list_chats(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    http::ok(&chats::list(&mut Source::Alone(&app.db), &user, &http::query(&request)?).await?)
}

/// `GET /chats/{chatId}`: a page of a room's history, for its members.
pub async fn get_chat(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let (chat_id, range) = http::both(http::path_id(&request, "chatId"), http::query(&request))?;
    http::ok(&history::read(&app.db, &asker, chat_id, None, &range).await?)
}

/// `POST /chats/send-message`: sends a message to a user or a room.
pub async fn send_direct(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let sent = direct::send(app, &user, http::json(&request)?).await?;
    app.tell(announce::sent(&sent, None)).await;
    let message = &sent.message;
    http::created_or_repeated(sent.is_new(), &json!({ "chatId": message.room_id, "message": message }))
}

/// `POST /api/sync`: returns what has changed in rooms since the client's cursors.
pub async fn sync(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let cursors = http::json(&request)?;
    http::ok(&sync::changes(&app.db, &asker, &cursors, sync::REST_BYTES).await?)
}
