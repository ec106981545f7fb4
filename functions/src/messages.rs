//! `/api/messages` and `/api/mentions`: sending, reading, editing and deleting messages, their replies and mentions.

use serde_json::json;
use shared::base::page::Sliced;
use shared::base::rate_limit::{self, Limited};
use shared::base::user::User;
use shared::events::announce;
use shared::messages::draft::{Draft, DraftList, Sender};
use shared::messages::message::NamedMessage;
use shared::messages::{history, mentions, replies, revise, send};
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

/// `GET /api/messages/{messageId}`: a message, for members of its room.
pub async fn get_message(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let message_id: NamedMessage = http::path_id(&request, "messageId")?;
    http::ok(&json!({ "message": history::message(&app.db, &asker, message_id).await? }))
}

/// `POST /api/messages/batch`: sends several messages to a room, all or none.
pub async fn send_messages(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let DraftList(draft) = http::json(&request)?;
    let sent = send::send_list(app, Sender::User(&user), draft).await?;
    app.tell(announce::sent_list(&sent, None)).await;
    http::created_or_repeated(sent.is_new(), &json!({ "messages": sent.messages }))
}

/// `GET /api/messages/{messageId}/replies`: a page of the replies to a message, for the members of its room.
pub async fn list_replies(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let (message_id, range): (NamedMessage, _) =
        http::both(http::path_id(&request, "messageId"), http::query(&request))?;
    http::ok(&replies::read(&app.db, &asker, message_id, &range).await?)
}

/// `GET /api/mentions`: the messages that mention the user by name.
pub async fn list_mentions(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let Sliced { rows, next } = mentions::list(&app.db, &user, &http::query(&request)?).await?;
    http::ok(&json!({ "messages": rows, "next": next }))
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
