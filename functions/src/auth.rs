//! `/api/auth` and `/api/ws-ticket`: registration, sessions and tickets.

use serde_json::json;
use shared::base::page::Sliced;
use shared::events::announce;
use shared::people::auth::{login, registration, ticket};
use shared::people::sessions::{self, Rotation, SessionId};
use shared::{App, Error, Result};

use crate::http::{self, Request, Response};

/// `POST /api/auth/register`: registers a user and signs them in.
pub async fn register(app: &App, request: Request) -> Result<Response> {
    let registered =
        registration::register(app, &http::address(app, &request), http::json(&request)?).await?;
    http::created(&registered)
}

/// `POST /api/auth/login`: starts a session with any of a user's identifiers and the password.
pub async fn login(app: &App, request: Request) -> Result<Response> {
    let mut logged_in = login::login(app, &http::address(app, &request), http::json(&request)?).await?;
    app.tell(announce::session_revoked(std::mem::take(&mut logged_in.ended))).await;
    http::ok(&logged_in)
}

/// `POST /api/auth/refresh-token`: exchanges a refresh token for new tokens. Reusing a refresh token ends its
/// session.
pub async fn refresh_token(app: &App, request: Request) -> Result<Response> {
    match sessions::refresh(app, &http::json(&request)?).await? {
        Rotation::Refreshed(tokens) => http::ok(&tokens),
        Rotation::Reused(sockets) => {
            app.tell(announce::session_revoked(sockets)).await;
            Err(Error::Unauthenticated)
        }
    }
}

/// `POST /api/auth/logout`: ends the session, or all sessions of the user, and closes their sockets.
pub async fn logout(app: &App, request: Request) -> Result<Response> {
    let user = http::user_at_once(app, &request).await?;
    let sockets = sessions::log_out(&app.db, &user, &http::json_or_nothing(&request)?).await?;
    app.tell(announce::session_revoked(sockets)).await;
    http::no_content()
}

/// `GET /api/auth/sessions`: the devices that the user is signed in on.
pub async fn list_sessions(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let Sliced { rows, next } = sessions::list(&app.db, &user, &http::query(&request)?).await?;
    http::ok(&json!({ "sessions": rows, "next": next }))
}

/// `DELETE /api/auth/sessions/{sessionId}`: signs one of the user's devices out.
pub async fn revoke_session(app: &App, request: Request) -> Result<Response> {
    let user = http::user_at_once(app, &request).await?;
    let session_id: SessionId = http::path_id(&request, "sessionId")?;
    let sockets = sessions::end_one(&app.db, &user, &session_id).await?;
    app.tell(announce::session_revoked(sockets)).await;
    http::no_content()
}

/// `POST /api/ws-ticket`: a ticket that opens one socket within a minute.
pub async fn create_ticket(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    http::created(&ticket::create(app, &user).await?)
}
