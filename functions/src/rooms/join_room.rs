use shared::{App, Result, members};

use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /api/joinroom`: join a password room by its password or an invitation, or a channel.
pub async fn join_room(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let joined = members::join(app, &user, None, http::json(&request)?).await?;
    app.tell(announce::joined(app, &user, &joined, None).await).await;
    if joined.already_member { http::ok(&joined) } else { http::created(&joined) }
}
