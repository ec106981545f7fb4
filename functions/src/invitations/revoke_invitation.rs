use shared::fields::{Fields, Missing, Read};
use shared::invitations::{self, InvitationId};
use shared::{App, Result};

use crate::http::{self, Request, Response};

struct Path {
    invitation_id: InvitationId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { invitation_id: fields.required("invitationId")? })
    }
}

/// `DELETE /api/invitations/{invitationId}`: who invited takes it back.
pub async fn revoke_invitation(app: &App, request: Request) -> Result<Response> {
    let inviter = http::user(app, &request).await?;
    let Path { invitation_id } = http::path(&request)?;
    invitations::revoke(&app.db, &inviter, invitation_id).await?;
    http::no_content()
}
