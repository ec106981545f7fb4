use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::fields::Fields;
use shared::users::User;
use shared::{App, Error, Result, members};

use super::Done;
use crate::websocket::announce;

/// `joinRoom`: as `POST /api/joinroom`.
pub async fn join_room(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let joined = members::join(app, user, Some(connection_id), Fields::parse(data)?).await?;
    let notice = announce::joined(app, user, &joined, Some(connection_id)).await;
    let mut ack = serde_json::to_value(&joined).map_err(Error::internal)?;
    ack["roomId"] = json!(joined.room.id);
    if let Some(seq) = joined.seq {
        ack["seq"] = json!(seq);
    }
    Ok(Done::ack(ack, notice))
}
