use serde_json::json;
use shared::groups::{self, Addition};
use shared::{App, Result};

use super::GroupPath;
use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /groups/{groupId}/add-user`: add somebody to a group, as its owner or moderator.
pub async fn add_user(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let (GroupPath { group_id }, addition): (_, Addition) =
        http::both(http::path(&request), http::json(&request))?;
    let added = groups::add(&app.db, &user, group_id, &addition).await?;
    announce::added(app, &added, &addition.user_id).await;
    http::ok(&json!({ "group": added.group }))
}
