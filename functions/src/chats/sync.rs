use shared::{App, Result, sync};

use crate::http::{self, Request, Response};

/// `POST /api/sync`: what changed in rooms after the client's cursors.
pub async fn sync(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let cursors = http::json(&request)?;
    http::ok(&sync::changes(&app.db, &asker, &cursors, sync::REST_BYTES).await?)
}
