use shared::{App, Result, users};

use crate::http::{self, Request, Response};

/// `PATCH /api/profile`: changes one's own profile; a new password ends every other session.
pub async fn update_profile(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let address = http::address(&request);
    http::ok(&users::update_own(app, &user, &address, &http::json(&request)?).await?)
}
