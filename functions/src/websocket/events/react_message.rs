use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::events::Outcome;
use shared::fields::Fields;
use shared::reactions::{self, Change};
use shared::users::User;
use shared::{App, Result};

use crate::websocket::announce;

/// `reactMessage`: gives a reaction to a message, or takes one's own back.
pub async fn react_message(
    app: &App,
    user: &User,
    connection_id: &ConnectionId,
    data: Value,
) -> Result<Outcome> {
    let change: Change = Fields::parse(data)?;
    let revised = reactions::react(&app.db, user, connection_id, &change).await?;
    announce::reacted(app, user, &change, &revised, connection_id).await;
    let message = revised.message;
    Ok(Outcome::Ack(json!({ "roomId": message.room_id, "seq": message.updated_seq, "message": message })))
}
