use shared::{App, Result, invitations};

use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /api/invite`: a password room's creator invites a prime user.
pub async fn invite(app: &App, request: Request) -> Result<Response> {
    let inviter = http::user(app, &request).await?;
    let invited = invitations::create(app, &inviter, http::json(&request)?).await?;
    app.tell(announce::invited(app, &inviter, &invited).await).await;
    http::created(&invited)
}
