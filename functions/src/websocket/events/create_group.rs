use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::fields::Fields;
use shared::users::User;
use shared::{App, Result, groups};

use super::Done;
use crate::websocket::announce;

/// `createGroup`: as `POST /groups`.
pub async fn create_group(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let group = groups::create(&app.db, user, Some(connection_id), &Fields::parse(data)?).await?;
    let notice = announce::group_created(app, &group, Some(connection_id)).await;
    Ok(Done::ack(json!({ "roomId": group.id, "group": group }), notice))
}
