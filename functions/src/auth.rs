//! `/api/auth` and `/api/ws-ticket`: registration, sessions and tickets.

use lambda_http::http::header;
use serde_json::json;
use shared::base::page::Sliced;
use shared::events::announce;
use shared::people::auth::login::{self, Login};
use shared::people::auth::registration::{self, Registration};
use shared::people::auth::ticket;
use shared::people::refresh_token::{Keeping, Refresh};
use shared::people::sessions::{self, Rotation, SessionId};
use shared::{App, Error, Result};

use crate::http::{self, Request, Response};
use crate::refresh_cookie;

/// `POST /api/auth/register`: registers a user and signs them in.
pub async fn register(app: &App, request: Request) -> Result<Response> {
    let registration: Registration = http::json(&request)?;
    let keeping = registration.session;
    refresh_cookie::permit(app, &request, keeping)?;
    let mut registered = registration::register(app, &http::address(app, &request), registration).await?;
    let cookie = refresh_cookie::take(&mut registered.tokens, keeping);
    refresh_cookie::set(http::created(&registered)?, cookie.as_ref())
}

/// `POST /api/auth/login`: starts a session with any of a user's identifiers and the password.
pub async fn login(app: &App, request: Request) -> Result<Response> {
    let login: Login = http::json(&request)?;
    let keeping = login.session;
    refresh_cookie::permit(app, &request, keeping)?;
    let mut logged_in = login::login(app, &http::address(app, &request), login).await?;
    app.tell(announce::session_revoked(std::mem::take(&mut logged_in.ended))).await;
    let cookie = refresh_cookie::take(&mut logged_in.tokens, keeping);
    refresh_cookie::set(http::ok(&logged_in)?, cookie.as_ref())
}

/// `POST /api/auth/refresh-token`: exchanges a refresh token for new tokens. Reusing a refresh token ends its
/// session. A cookie counts where the body has no token.
pub async fn refresh_token(app: &App, request: Request) -> Result<Response> {
    let cookie = refresh_cookie::read(&request);
    let given: Refresh =
        if cookie.is_some() { http::json_or_nothing(&request)? } else { http::json(&request)? };
    let (token, keeping) = match (given.refresh_token, cookie) {
        (Some(token), _) => (token, Keeping::Token),
        (None, Some(token)) => (token, Keeping::Cookie),
        (None, None) => return Err(Error::invalid("refreshToken", "is required")),
    };
    refresh_cookie::permit(app, &request, keeping)?;
    let refused = match sessions::refresh(app, &token).await {
        Ok(Rotation::Refreshed(mut tokens)) => {
            let cookie = refresh_cookie::take(&mut tokens, keeping);
            return refresh_cookie::set(http::ok(&tokens)?, cookie.as_ref());
        }
        Ok(Rotation::Reused(sockets)) => {
            app.tell(announce::session_revoked(sockets)).await;
            Error::Unauthenticated
        }
        Err(error) => error,
    };
    refuse(refused, keeping)
}

/// Refuses a request. Clears a cookie that is no longer valid.
fn refuse(error: Error, keeping: Keeping) -> Result<Response> {
    match (&error, keeping) {
        (Error::Unauthenticated, Keeping::Cookie) => refresh_cookie::clear(http::problem(&error, "")),
        _ => Err(error),
    }
}

/// `POST /api/auth/logout`: ends the session, or all sessions of the user, and closes their sockets. A cookie counts
/// where there is no access token.
pub async fn logout(app: &App, request: Request) -> Result<Response> {
    let cookie = refresh_cookie::read(&request);
    let user = match &cookie {
        Some(token) if !request.headers().contains_key(header::AUTHORIZATION) => {
            refresh_cookie::permit(app, &request, Keeping::Cookie)?;
            match sessions::holder(app, token).await {
                Ok(user) => user,
                Err(error) => return refuse(error, Keeping::Cookie),
            }
        }
        _ => http::user_at_once(app, &request).await?,
    };
    let sockets = sessions::log_out(&app.db, &user, &http::json_or_nothing(&request)?).await?;
    app.tell(announce::session_revoked(sockets)).await;
    let response = http::no_content()?;
    // Another tab may have signed in since, with a cookie of its own.
    let has_ended = match &cookie {
        Some(token) => matches!(sessions::holder(app, token).await, Err(Error::Unauthenticated)),
        None => false,
    };
    if has_ended { refresh_cookie::clear(response) } else { Ok(response) }
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
