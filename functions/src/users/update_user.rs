use shared::{App, Result, administration};

use super::UserPath;
use crate::http::{self, Request, Response};

/// `PATCH /api/users/{userId}`: an admin changes a user's role, prime flag or coins.
pub async fn update_user(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let (UserPath { user_id }, change) = http::both(http::path(&request), http::json(&request))?;
    http::ok(&administration::update(app, &asker, &user_id, &change).await?)
}
