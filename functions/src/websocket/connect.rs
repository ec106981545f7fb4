use shared::base::socket::{Protocol, Socket};
use shared::base::tokens::Bearer;
use shared::events::event::ClosingReason;
use shared::events::{announce, presence};
use shared::people::auth::ticket;
use shared::people::sessions;
use shared::sockets::connections;
use shared::sockets::handshakes::{self, Handshake};
use shared::{App, Error, Result};

use super::{Reply, SocketEvent, ids};
use crate::http;

/// The subprotocol that carries an access token: `Sec-WebSocket-Protocol: bearer, <accessToken>`.
const BEARER: &str = "bearer";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
/// The version of Engine.IO that a client of Socket.IO names in its query.
const ENGINE_IO: &str = "4";

/// `$connect`: accepts a client with a ticket or an access token, and stores the socket. A client of Socket.IO may also
/// say who it is in its first packet. The answer's status decides whether the handshake succeeds.
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
    match event.query_string_parameters.first("EIO") {
        None => {
            let bearer = bearer(app, event).await?;
            enter(app, &Socket { connection_id, protocol: Protocol::Frames }, &bearer).await.map(drop)
        }
        Some(ENGINE_IO) => {
            let session_id = match bearer(app, event).await {
                Ok(Bearer { session_id, .. }) => {
                    Some(sessions::user_of(&app.db, &session_id).await?.session_id)
                }
                Err(Error::Unauthenticated) if !has_credentials(event) => None,
                Err(error) => return Err(error),
            };
            let seen = event.request_context.identity.source_ip.as_deref();
            let address = http::address_behind(app, &event.headers, seen);
            let handshake = Handshake { address, session_id };
            handshakes::accept(app, &connection_id, &handshake).await
        }
        Some(_) => Err(Error::invalid("EIO", "must be 4: use a client of Socket.IO 3 or 4")),
    }
}

/// Lets a user in whose session has not ended: stores the socket, ends the user's oldest one if there are too many, and
/// tells others that the user is online. Returns false for a socket of Socket.IO that does not wait any more. It may have a
/// user already, so what is noted of it stays.
pub(super) async fn enter(app: &App, socket: &Socket, bearer: &Bearer) -> Result<bool> {
    let Socket { connection_id, .. } = socket;
    let most = app.config.max_sockets;
    let process_id = app.process.as_ref().map(|process| &*process.id);
    // Before the row is stored: the socket's `$disconnect` forgets it after the row, and so finds it.
    app.opened(connection_id, &bearer.user_id);
    let stored = connections::open(&app.db, socket, bearer, most, process_id).await;
    let Some(surplus) = stored.inspect_err(|_| app.closed(connection_id))? else { return Ok(false) };
    app.tell(announce::closing(surplus, ClosingReason::TooManySockets)).await;
    // The socket is open, even if nobody can be notified.
    match presence::appear(app, &bearer.user_id, connection_id).await {
        Ok(notice) => app.tell(notice).await,
        Err(error) => error.log(),
    }
    Ok(true)
}

/// Returns the bearer of the handshake's credentials: a ticket, or an access token in one of three places.
async fn bearer(app: &App, event: &SocketEvent) -> Result<Bearer> {
    let ticket = event.query_string_parameters.first("ticket");
    credentials(app, ticket, token(event)).await
}

/// Returns the bearer of a ticket, or else of an access token. Whether the session of a token has ended is not looked up.
/// That is left to [`enter`], which looks again anyway.
pub(super) async fn credentials(app: &App, ticket: Option<&str>, token: Option<&str>) -> Result<Bearer> {
    match ticket {
        Some(given) => ticket::redeem(app, given).await.map(Bearer::from),
        None => app.access_tokens.verify(token.ok_or(Error::Unauthenticated)?).map(Bearer::from),
    }
}

fn has_credentials(event: &SocketEvent) -> bool {
    event.query_string_parameters.first("ticket").is_some() || token(event).is_some()
}

fn token(event: &SocketEvent) -> Option<&str> {
    let query = event.query_string_parameters.first("token");
    query.or_else(|| header_token(event)).or_else(|| protocol_token(event))
}

fn header_token(event: &SocketEvent) -> Option<&str> {
    let (scheme, token) = event.headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(BEARER).then_some(token.trim())
}

fn protocol_token(event: &SocketEvent) -> Option<&str> {
    let (first, token) = event.headers.get(PROTOCOL)?.to_str().ok()?.split_once(',')?;
    (first.trim() == BEARER).then_some(token.trim())
}
