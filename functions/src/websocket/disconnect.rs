use shared::base::ids::ConnectionId;
use shared::events::presence;
use shared::sockets::connections;
use shared::{App, Result};

use super::{Event, Reply, ids};

/// `$disconnect`: forgets the socket, and notifies the user's friends if it was the last one. API Gateway
/// does not guarantee that it calls this route, so rows also expire.
pub async fn disconnect(app: &App, event: Event) -> Reply {
    let (connection_id, request_id) = ids(&event);
    match close(app, &connection_id).await {
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}

async fn close(app: &App, connection_id: &ConnectionId) -> Result<()> {
    let Some(closed) = connections::close(&app.db, connection_id).await? else { return Ok(()) };
    // This may take seconds, but nobody waits for it. The row stays until then, so that a socket that opens
    // in the meantime finds it.
    app.tell(presence::disappear(app, connection_id, &closed).await?).await;
    connections::forget(&app.db, connection_id).await
}
