use shared::connections::ConnectionId;
use shared::{App, Result, connections, presence};

use super::{Event, Reply, ids};

/// `$disconnect`: forgets the socket, and tells the user's friends if it was the last one. Best effort on
/// API Gateway's side, so rows also expire.
pub async fn disconnect(app: &App, event: Event) -> Reply {
    let (connection_id, request_id) = ids(&event);
    match close(app, &connection_id).await {
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}

async fn close(app: &App, connection_id: &ConnectionId) -> Result<()> {
    let Some(closed) = connections::close(&app.db, connection_id).await? else { return Ok(()) };
    // It may wait, and nobody waits for it. Its row stays as long, for who appears meanwhile.
    presence::disappear(app, connection_id, &closed).await?;
    connections::forget(&app.db, connection_id).await
}
