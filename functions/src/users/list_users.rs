use shared::{App, Result, profiles};

use crate::http::{self, Request, Response};

/// `GET /users`: the people of the organization, page by page.
pub async fn list_users(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    http::ok(&profiles::list(&app.db, &asker, &http::query(&request)?).await?)
}
