use shared::fields::{Fields, Missing, Read};
use shared::users::UserId;
use shared::{App, Result, friends};

use crate::http::{self, Request, Response};

struct Path {
    user_id: UserId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { user_id: fields.required("userId")? })
    }
}

/// `DELETE /api/friends/{userId}`: end a friendship.
pub async fn remove_friend(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let Path { user_id } = http::path(&request)?;
    friends::remove(&app.db, &user, &user_id).await?;
    http::no_content()
}
