use shared::base::user::User;
use shared::events::presence;
use shared::people::auth::ticket;
use shared::people::sessions;
use shared::sockets::connections;
use shared::sockets::tell::Notice;
use shared::{App, Error, Result};

use super::{Reply, SocketEvent, ids};

/// The subprotocol that carries an access token: `Sec-WebSocket-Protocol: bearer, <accessToken>`.
const BEARER: &str = "bearer";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// `$connect`: accepts a client with a ticket or an access token, and stores the socket. The answer's status
/// decides whether the handshake succeeds.
pub async fn connect(app: &App, event: SocketEvent) -> Reply {
    let (_, request_id) = ids(&event);
    match open(app, &event).await {
        Ok(()) if protocol_token(&event).is_some() => Reply::ok().with(PROTOCOL, BEARER),
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}

async fn open(app: &App, event: &SocketEvent) -> Result<()> {
    // The Origin must be exactly one of the list. A client without an Origin is not a browser, so no page can
    // misuse its credentials.
    let origin = event.headers.get("origin").and_then(|origin| origin.to_str().ok());
    let allowed = &app.config.allowed_origins;
    if origin.is_some_and(|origin| !allowed.is_empty() && !allowed.iter().any(|one| one == origin)) {
        return Err(Error::OriginNotAllowed);
    }
    let (connection_id, _) = ids(event);
    let user = user(app, event).await?;
    let (most, process_id) = (app.config.max_sockets, app.process_id.as_deref());
    let surplus = connections::open(&app.db, &connection_id, &user, most, process_id).await?;
    app.opened(&connection_id, &user.user_id);
    app.tell(Notice::close(surplus)).await;
    // The socket is open, even if the user's friends cannot be notified.
    match presence::appear(app, &user, &connection_id).await {
        Ok(notice) => app.tell(notice).await,
        Err(error) => error.log(),
    }
    Ok(())
}

/// Returns the user of the handshake's credentials: a ticket, or an access token in one of three places.
async fn user(app: &App, event: &SocketEvent) -> Result<User> {
    if let Some(given) = event.query_string_parameters.first("ticket") {
        return ticket::redeem(app, given).await;
    }
    let token = event
        .query_string_parameters
        .first("token")
        .or_else(|| header_token(event))
        .or_else(|| protocol_token(event))
        .ok_or(Error::Unauthenticated)?;
    sessions::signed_in(&app.db, &app.access_tokens.verify(token)?).await
}

fn header_token(event: &SocketEvent) -> Option<&str> {
    let (scheme, token) = event.headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(BEARER).then_some(token.trim())
}

fn protocol_token(event: &SocketEvent) -> Option<&str> {
    let (first, token) = event.headers.get(PROTOCOL)?.to_str().ok()?.split_once(',')?;
    (first.trim() == BEARER).then_some(token.trim())
}
