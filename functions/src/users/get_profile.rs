use lambda_http::RequestExt;
use shared::{App, Result, profiles};

use super::UserPath;
use crate::http::{self, Request, Response};

/// `GET /api/profile/{userId}`: a profile; `me` is one's own.
pub async fn get_profile(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let is_me = request.path_parameters_ref().and_then(|path| path.first("userId")) == Some("me");
    let user_id = if is_me { asker.user_id.clone() } else { http::path::<UserPath>(&request)?.user_id };
    http::ok(&profiles::read(app, &asker, &user_id).await?)
}
