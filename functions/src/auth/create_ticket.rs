use shared::auth::ticket;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/ws-ticket`: a ticket that opens one socket within a minute.
pub async fn create_ticket(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::created(&ticket::create(app, &user).await?)
}
