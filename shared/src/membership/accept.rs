//! Accepting an invitation by its id (`docs/contract.md`, "Invitations").

use crate::app::App;
use crate::base::user::User;
use crate::error::Thing;
use crate::membership::members::{Joined, Key, seat};
use crate::rooms::invitations::{self, InvitationId, Presented};
use crate::{Error, Result};

/// Accepts an invitation without its token: its invitee joins the room as with the token.
///
/// # Errors
/// [`Error::NotFound`] for an invitation that is unknown or somebody else's, or whose room was deleted;
/// [`Error::InvitationInvalid`] for one that is expired, used, revoked or declined; and those of
/// [`join`](super::members::join).
pub async fn accept(app: &App, user: &User, invitation_id: InvitationId) -> Result<Joined> {
    let room_id = invitations::room_of(&app.db, user, invitation_id).await?;
    let key = Key::Invitation(Presented::Id(invitation_id));
    match app.db.transaction_in(room_id, (user, None, room_id, key), seat).await {
        // The room was deleted meanwhile.
        Err(Error::NotFound(Thing::Room)) => Err(Error::NotFound(Thing::Invitation)),
        outcome => outcome,
    }
}
