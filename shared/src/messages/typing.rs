//! Typing: who is writing just now. It is told and never stored (contract section 4).

use crate::app::App;
use crate::base::db::Db;
use crate::base::ids::{ConnectionId, RoomId};
use crate::base::rate_limit::{self, Limited};
use crate::base::user::User;
use crate::sockets::connections;
use crate::{Error, Result};

/// The sockets that hear that a member is typing. Nobody does in a room of more than 50, nor when they
/// have just heard it. `by` is the socket that says so.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::Unauthenticated`] when the socket's session has ended
/// meanwhile.
pub async fn start(app: &App, user: &User, by: &ConnectionId, room_id: RoomId) -> Result<Vec<ConnectionId>> {
    // Counted first, so that nothing comes between the look at who may tell whom and the telling.
    let limited = Limited::Typing(&user.user_id, room_id);
    let is_new = match rate_limit::count(&app.db, &app.config.limits, limited).await {
        Ok(_) => true,
        Err(Error::RateLimited(_)) => false,
        Err(error) => return Err(error),
    };
    let sockets = stop(&app.db, by, room_id).await?;
    Ok(if is_new { sockets } else { Vec::new() })
}

/// The sockets that hear that a member has stopped.
///
/// # Errors
/// As [`start`].
pub async fn stop(db: &Db, by: &ConnectionId, room_id: RoomId) -> Result<Vec<ConnectionId>> {
    Ok(connections::of_small_room(db, by, room_id).await?.sockets)
}
