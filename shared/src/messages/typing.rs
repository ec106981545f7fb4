//! Typing: who is writing just now. It is pushed and never stored (`docs/contract.md`, "Typing, presence
//! and read positions").

use crate::app::App;
use crate::base::db::Db;
use crate::base::ids::{ConnectionId, RoomId};
use crate::base::rate_limit::{self, Limited};
use crate::base::socket::Socket;
use crate::base::user::User;
use crate::sockets::connections::{self, InLargeRoom};
use crate::{Error, Result};

/// Returns the sockets to notify that a member is typing: none in a room of more than 50 members, and
/// none if they were notified just before. `by` is the socket that the request came from.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::Unauthenticated`] when the socket's session has ended
/// meanwhile.
pub async fn start(app: &App, user: &User, by: &ConnectionId, room_id: RoomId) -> Result<Vec<Socket>> {
    // Counted first, so that nothing runs between the check of who may be notified and the push.
    let limited = Limited::Typing(&user.user_id, room_id);
    let is_new = match rate_limit::count(&app.db, &app.config.limits, limited).await {
        Ok(_) => true,
        Err(Error::RateLimited(_)) => false,
        Err(error) => return Err(error),
    };
    let sockets = stop(&app.db, by, room_id).await?;
    Ok(if is_new { sockets } else { Vec::new() })
}

/// Returns the sockets to notify that a member has stopped typing.
///
/// # Errors
/// The same as for [`start`].
pub async fn stop(db: &Db, by: &ConnectionId, room_id: RoomId) -> Result<Vec<Socket>> {
    Ok(connections::of_small_room(db, by, room_id, InLargeRoom::Nobody).await?.sockets)
}
