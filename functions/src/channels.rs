//! `/api/chat`: channels, which are open to their organization.

use lambda_http::RequestExt;
use serde_json::json;
use shared::base::ids::RoomId;
use shared::base::user::User;
use shared::events::announce;
use shared::rooms::channels::{self, NewChannel};
use shared::rooms::delete;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `GET /api/chat`: returns a page of the organization's channels. Every answer says how much of
/// `CHAT_LIST_LIMIT` is used.
pub async fn list_chat(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let standing = channels::count_listing(app, &asker).await?;
    // Every request counts, even one that fails, so an error has the headers too.
    let request_id = request.lambda_context_ref().map_or("", |context| context.request_id.as_str());
    let answer = page(app, &asker, &request).await;
    let answer = answer.unwrap_or_else(|error| http::problem(&error, request_id));
    Ok(match standing {
        Some(standing) => http::with_standing(answer, &standing),
        None => answer,
    })
}

async fn page(app: &App, asker: &User, request: &Request) -> Result<Response> {
    http::ok(&channels::list(&app.db, asker, http::query(request)?).await?)
}

/// `POST /api/chat`: an admin or a moderator creates a channel.
pub async fn create_chat(app: &App, request: Request) -> Result<Response> {
    let creator = http::writer(app, &request).await?;
    let NewChannel { name } = http::json(&request)?;
    let room = channels::create(app, &creator, None, &name).await?;
    app.tell(announce::channel_created(app, &room, &[], None).await).await;
    http::created(&json!({ "chatRoom": room }))
}

/// `DELETE /api/chat/{roomId}`: an admin deletes a channel and everything in it.
pub async fn delete_chat(app: &App, request: Request) -> Result<Response> {
    let admin = http::writer(app, &request).await?;
    let room_id: RoomId = http::path_id(&request, "roomId")?;
    let members = delete::delete_channel(&app.db, &admin, room_id).await?;
    app.tell(announce::room_deleted(app, room_id, &members).await).await;
    delete::erase(&app.db, room_id).await;
    http::no_content()
}
