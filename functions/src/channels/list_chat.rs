use lambda_http::RequestExt;
use shared::users::User;
use shared::{App, Result, channels};

use crate::http::{self, Request, Response};

/// `GET /api/chat`: a page of the organization's channels. Every answer tells how much of
/// `CHAT_LIST_LIMIT` is used.
pub async fn list_chat(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let standing = channels::count_listing(app, &asker).await?;
    // Whatever comes of it, it was counted.
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
