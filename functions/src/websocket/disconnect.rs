use futures_util::{StreamExt, stream};
use shared::base::ids::ConnectionId;
use shared::events::presence;
use shared::sockets::connections::{self, Closed};
use shared::sockets::{handshakes, processes};
use shared::{App, Result};

use super::{Reply, SocketEvent, ids};

/// How many sockets of a server process that was killed are ended at once.
const CONCURRENT_ENDS: usize = 8;

/// `$disconnect`: ends the socket, and forgets it at once or through the function `presence`. API Gateway
/// does not guarantee that it calls this route, so rows also expire.
pub async fn disconnect(app: &App, event: SocketEvent) -> Reply {
    let (connection_id, request_id) = ids(&event);
    let closed = close(app, &connection_id).await;
    // After the row: the CONNECT packet of Socket.IO may just be storing it, and notes the socket before.
    app.closed(&connection_id);
    match closed {
        Ok(()) => Reply::ok(),
        Err(error) => Reply::problem(&error, request_id),
    }
}

async fn close(app: &App, connection_id: &ConnectionId) -> Result<()> {
    let mut closed = connections::close(&app.db, connection_id).await?;
    // A socket without a row has waited for its CONNECT packet, unless that came just now and it has a row by now.
    if closed.is_none() && !handshakes::end(&app.db, connection_id).await? {
        closed = connections::close(&app.db, connection_id).await?;
    }
    match closed {
        Some(closed) if !presence::hold(app, &closed).await => forget(app, &closed).await,
        Some(_) | None => Ok(()),
    }
}

/// Makes up for the `$disconnect` of every socket whose server process was killed. Sockets of processes that live
/// stay. A server process calls this at its start and from time to time.
///
/// # Errors
/// The database's, before any socket was ended. Those of single sockets are logged, and the next call tries
/// again.
pub async fn disconnect_lost(app: &App) -> Result<()> {
    let lost = processes::end_lost(&app.db).await?;
    if !lost.is_empty() {
        tracing::info!(sockets = lost.len(), "ended the sockets of server processes that are gone");
    }
    let ends = stream::iter(&lost).for_each_concurrent(CONCURRENT_ENDS, async |socket| {
        if let Err(error) = close(app, socket).await {
            error.log();
        }
    });
    ends.await;
    Ok(())
}

/// Forgets a socket that has closed, and notifies the people around the user if it was the last one. The row stays
/// until then, so that a socket that opens in the meantime finds it.
pub(crate) async fn forget(app: &App, closed: &Closed) -> Result<()> {
    app.tell(presence::disappear(app, closed).await?).await;
    connections::forget(&app.db, &closed.connection_id).await
}
