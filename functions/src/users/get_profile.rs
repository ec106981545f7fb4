use lambda_http::RequestExt;
use shared::fields::{Fields, Missing, Read};
use shared::users::{self, UserId};
use shared::{App, Result};

use crate::http::{self, Request, Response};

struct Path {
    user_id: UserId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { user_id: fields.required("userId")? })
    }
}

/// `GET /api/profile/{userId}`: a profile; `me` is one's own.
pub async fn get_profile(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let is_me = request.path_parameters_ref().and_then(|path| path.first("userId")) == Some("me");
    let user_id = if is_me { asker.user_id.clone() } else { http::path::<Path>(&request)?.user_id };
    http::ok(&users::profile(app, &asker, &user_id).await?)
}
