use serde_json::json;
use shared::{App, Result, revisions};

use super::MessagePath;
use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `PATCH /api/messages/{messageId}`: give one's own message other words.
pub async fn edit_message(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let (MessagePath { message_id }, edit) = http::both(http::path(&request), http::json(&request))?;
    let revised = revisions::edit(&app.db, &user, None, message_id, &edit).await?;
    announce::edited(app, &revised, None).await;
    http::ok(&json!({ "message": revised.message }))
}
