use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::events::Outcome;
use shared::fields::Fields;
use shared::users::User;
use shared::{App, Result, groups};

use crate::websocket::announce;

/// `createGroup`: as `POST /groups`.
pub async fn create_group(
    app: &App,
    user: &User,
    connection_id: &ConnectionId,
    data: Value,
) -> Result<Outcome> {
    let group = groups::create(&app.db, user, Some(connection_id), &Fields::parse(data)?).await?;
    announce::group_created(app, &group, Some(connection_id)).await;
    Ok(Outcome::Ack(json!({ "roomId": group.id, "group": group })))
}
