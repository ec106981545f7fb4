use serde_json::json;
use shared::fields::{Fields, Missing, Read};
use shared::friends::{self, RequestId};
use shared::{App, Result};

use super::announce;
use crate::http::{self, Request, Response};

struct Path {
    id: RequestId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { id: fields.required("id")? })
    }
}

/// `PATCH /api/friend-requests/{id}`: accept or reject a request that one has received.
pub async fn answer_friend_request(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let (Path { id }, answer) = http::both(http::path(&request), http::json(&request))?;
    let answered = friends::answer(&app.db, &user, id, answer).await?;
    if answered.changed {
        announce(app, &answered.request).await;
    }
    http::ok(&json!({ "friendRequest": answered.request }))
}
