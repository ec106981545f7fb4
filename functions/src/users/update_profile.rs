use shared::{App, Result, profiles};

use crate::http::{self, Request, Response};

/// `PATCH /api/profile`: changes one's own profile; a new password ends every other session.
pub async fn update_profile(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let address = http::address(&request);
    http::ok(&profiles::change(app, &user, &address, &http::json(&request)?).await?)
}
