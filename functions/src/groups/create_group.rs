use serde_json::json;
use shared::{App, Result, groups};

use crate::http::{self, Request, Response};
use crate::websocket::announce;

/// `POST /groups`: make a group.
pub async fn create_group(app: &App, request: Request) -> Result<Response> {
    let creator = http::user(app, &request).await?;
    let group = groups::create(&app.db, &creator, None, &http::json(&request)?).await?;
    app.tell(announce::group_created(app, &group, None).await).await;
    http::created(&json!({ "group": group }))
}
