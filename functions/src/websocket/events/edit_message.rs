use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::fields::{Fields, Missing, Read};
use shared::messages::NamedMessage;
use shared::revisions::{self, Edit};
use shared::users::User;
use shared::{App, Result};

use super::Done;
use crate::websocket::announce;

struct Frame {
    message_id: NamedMessage,
    edit: Edit,
}

impl Read for Frame {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let message_id = fields.required("messageId");
        let edit = Edit::read(fields);
        Ok(Self { message_id: message_id?, edit: edit? })
    }
}

/// `editMessage`: as `PATCH /api/messages/{messageId}`.
pub async fn edit_message(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let Frame { message_id, edit } = Fields::parse(data)?;
    let revised = revisions::edit(&app.db, user, Some(connection_id), message_id, &edit).await?;
    let notice = announce::edited(app, &revised, Some(connection_id)).await;
    let message = revised.message;
    Ok(Done::ack(
        json!({ "roomId": message.room_id, "seq": message.updated_seq, "message": message }),
        notice,
    ))
}
