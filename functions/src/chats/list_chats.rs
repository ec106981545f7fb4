use shared::{App, Result, chats};

use crate::http::{self, Request, Response};

/// `GET /chats`: the rooms that one is in.
pub async fn list_chats(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::ok(&chats::list(&app.db, &user, http::query(&request)?).await?)
}
