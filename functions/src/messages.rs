//! `/api/messages`: sending, editing and deleting a message.

use serde_json::json;
use shared::base::rate_limit::{self, Limited};
use shared::base::user::User;
use shared::events::announce;
use shared::messages::draft::{Draft, Sender};
use shared::messages::message::NamedMessage;
use shared::messages::revise;
use shared::messages::send;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/messages`: sends a message to a room.
pub async fn send_message(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let draft: Draft = http::json(&request)?;
    let sent = send::send(app, Sender::User(&user), draft).await?;
    app.tell(announce::sent(&sent, None)).await;
    http::created_or_repeated(sent.is_new(), &json!({ "message": sent.message }))
}

/// `PATCH /api/messages/{messageId}`: the sender edits a message.
pub async fn edit_message(app: &App, request: Request) -> Result<Response> {
    let user = reviser(app, &request).await?;
    let (message_id, edit): (NamedMessage, _) =
        http::both(http::path_id(&request, "messageId"), http::json(&request))?;
    let revised = revise::edit(&app.db, &user, None, message_id, &edit).await?;
    app.tell(announce::edited(app, &revised, None).await).await;
    http::ok(&json!({ "message": revised.message }))
}

/// `DELETE /api/messages/{messageId}`: the sender or a moderator deletes a message.
pub async fn delete_message(app: &App, request: Request) -> Result<Response> {
    let user = reviser(app, &request).await?;
    let message_id: NamedMessage = http::path_id(&request, "messageId")?;
    let revised = revise::delete(&app.db, &user, None, message_id).await?;
    app.tell(announce::deleted(app, &revised, None).await).await;
    http::ok(&json!({ "message": revised.message }))
}

/// Returns the user of an edit or a deletion, which count for `MESSAGE_LIMIT` as sends do: the members are told of each.
async fn reviser(app: &App, request: &Request) -> Result<User> {
    let user = http::user(app, request).await?;
    rate_limit::count(&app.db, &app.config.limits, Limited::Message(&user.user_id)).await?;
    Ok(user)
}
