use shared::base::ids::ConnectionId;
use shared::events::presence;
use shared::sockets::connections::{self, Closed};
use shared::{App, Result};

use super::{Reply, SocketEvent, ids};

/// `$disconnect`: ends the socket, and forgets it at once or through the function `presence`. API Gateway
/// does not guarantee that it calls this route, so rows also expire.
pub async fn disconnect(app: &App, event: SocketEvent) -> Reply {
    let (connection_id, request_id) = ids(&event);
    match close(app, &connection_id).await {
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}

async fn close(app: &App, connection_id: &ConnectionId) -> Result<()> {
    match connections::close(&app.db, connection_id).await? {
        Some(closed) if !presence::hold(app, &closed).await => forget(app, &closed).await,
        Some(_) | None => Ok(()),
    }
}

/// Forgets a socket that has closed, and notifies the user's friends if it was the last one. The row stays
/// until then, so that a socket that opens in the meantime finds it.
pub(crate) async fn forget(app: &App, closed: &Closed) -> Result<()> {
    app.tell(presence::disappear(app, closed).await?).await;
    connections::forget(&app.db, &closed.connection_id).await
}
