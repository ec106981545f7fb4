use shared::{App, Result, coins};

use crate::http::{self, Request, Response};

/// `GET /api/coins`: one's own ledger, newest first.
pub async fn list_coins(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::ok(&coins::list(&app.db, &user, http::query(&request)?).await?)
}
