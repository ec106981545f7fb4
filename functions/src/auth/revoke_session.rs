use shared::auth::session::{self, SessionId};
use shared::fields::{Fields, Missing, Read};
use shared::{App, Result};

use crate::http::{self, Request, Response};

struct Path {
    session_id: SessionId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { session_id: fields.required("sessionId")? })
    }
}

/// `DELETE /api/auth/sessions/{sessionId}`: signs one of one's devices out.
pub async fn revoke_session(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let Path { session_id } = http::path(&request)?;
    session::end_one(app, &user, &session_id).await?;
    http::no_content()
}
