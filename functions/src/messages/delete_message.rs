use serde_json::json;
use shared::{App, Result, revisions};

use super::MessagePath;
use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `DELETE /api/messages/{messageId}`: delete a message, one's own or as who keeps order in the room.
pub async fn delete_message(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let MessagePath { message_id } = http::path(&request)?;
    let revised = revisions::delete(&app.db, &user, None, message_id).await?;
    app.tell(announce::deleted(app, &revised, None).await).await;
    http::ok(&json!({ "message": revised.message }))
}
