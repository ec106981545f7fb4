use shared::{App, connections};

use super::{Event, Reply, ids};

/// `$disconnect`: forgets the socket. Best effort on API Gateway's side, so rows also expire.
pub async fn disconnect(app: &App, event: Event) -> Reply {
    let (connection_id, request_id) = ids(&event);
    match connections::close(&app.db, &connection_id).await {
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}
