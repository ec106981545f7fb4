//! Typing: who is writing just now. It is told and never stored (contract section 4).

use crate::app::App;
use crate::connections::{self, ConnectionId};
use crate::rate_limit::{self, Limited};
use crate::rooms::RoomId;
use crate::users::User;
use crate::{Error, Result};

/// The sockets that hear that a member is typing. Nobody does in a room of more than 50, nor when they
/// have just heard it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn starts(app: &App, user: &User, room_id: RoomId) -> Result<Vec<ConnectionId>> {
    let audience = connections::of_small_room(&app.db, user, room_id).await?;
    let limited = Limited::Typing(&user.user_id, room_id);
    match rate_limit::count(&app.db, &app.config.limits, limited).await {
        Ok(_) => Ok(audience.sockets),
        Err(Error::RateLimited(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The sockets that hear that a member has stopped.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn stops(app: &App, user: &User, room_id: RoomId) -> Result<Vec<ConnectionId>> {
    Ok(connections::of_small_room(&app.db, user, room_id).await?.sockets)
}
