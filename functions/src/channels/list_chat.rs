use shared::{App, Result, channels};

use crate::http::{self, Request, Response};

/// `GET /api/chat`: a page of the organization's channels. Every answer tells how much of
/// `CHAT_LIST_LIMIT` is used.
pub async fn list_chat(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let standing = channels::count_listing(app, &asker).await?;
    let answer = match http::query(&request) {
        Ok(page) => http::ok(&channels::list(&app.db, &asker, page).await?)?,
        // It was counted too.
        Err(wrong) => http::problem(&wrong, ""),
    };
    Ok(match standing {
        Some(standing) => http::with_standing(answer, &standing),
        None => answer,
    })
}
