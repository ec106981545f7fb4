//! `/groups`: rooms whose owner and moderators add the members.

use serde_json::json;
use shared::base::ids::RoomId;
use shared::events::announce;
use shared::membership::groups::{self, Addition};
use shared::messages::history;
use shared::rooms::room::RoomKind;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /groups`: creates a group.
pub async fn create_group(app: &App, request: Request) -> Result<Response> {
    let creator = http::writer(app, &request).await?;
    let group = groups::create(app, &creator, None, &http::json(&request)?).await?;
    app.tell(announce::group_created(app, &group, None).await).await;
    http::created(&json!({ "group": group }))
}

/// `POST /groups/{groupId}/add-user`: the owner or a moderator adds a user to a group.
pub async fn add_user(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (group_id, addition): (RoomId, Addition) =
        http::both(http::path_id(&request, "groupId"), http::json(&request))?;
    let added = groups::add(app, &user, group_id, &addition).await?;
    app.tell(announce::added(app, &added, &addition.user_id).await).await;
    http::ok(&json!({ "group": added.group }))
}

/// `GET /groups/{groupId}/messages`: a page of a group's history, for its members.
pub async fn get_group_messages(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let (group_id, range) = http::both(http::path_id(&request, "groupId"), http::query(&request))?;
    http::ok(&history::read(&app.db, &asker, group_id, Some(RoomKind::Group), &range).await?)
}
