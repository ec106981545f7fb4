use shared::auth::session;
use shared::{App, Error, Result, connections};

use super::{Event, Reply, ids};

/// `$connect`: lets in who has an access token, and remembers the socket. What is answered here
/// decides the handshake.
pub async fn connect(app: &App, event: Event) -> Reply {
    let (_, request_id) = ids(&event);
    match open(app, &event).await {
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}

async fn open(app: &App, event: &Event) -> Result<()> {
    let (connection_id, _) = ids(event);
    let token = event.query_string_parameters.first("token").ok_or(Error::Unauthenticated)?;
    let user = session::authenticate(app, token).await?;
    connections::open(&app.db, &connection_id, &user).await
}
