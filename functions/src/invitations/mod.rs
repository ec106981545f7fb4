//! `/api/invite` and `/api/invitations`: letting somebody into a password room without its password.

mod invite;
mod list_invitations;
mod revoke_invitation;

pub use invite::invite;
pub use list_invitations::list_invitations;
pub use revoke_invitation::revoke_invitation;
