use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::fields::{Fields, Missing, Read};
use shared::messages::NamedMessage;
use shared::users::User;
use shared::{App, Result, revisions};

use super::Done;
use crate::websocket::announce;

struct Frame {
    message_id: NamedMessage,
}

impl Read for Frame {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { message_id: fields.required("messageId")? })
    }
}

/// `deleteMessage`: as `DELETE /api/messages/{messageId}`.
pub async fn delete_message(
    app: &App,
    user: &User,
    connection_id: &ConnectionId,
    data: Value,
) -> Result<Done> {
    let Frame { message_id } = Fields::parse(data)?;
    let revised = revisions::delete(&app.db, user, Some(connection_id), message_id).await?;
    let notice = announce::deleted(app, &revised, Some(connection_id)).await;
    let message = revised.message;
    Ok(Done::ack(
        json!({ "roomId": message.room_id, "seq": message.updated_seq, "message": message }),
        notice,
    ))
}
