use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;
use shared::users::{User, UserId};
use shared::{App, Result, members};

use super::Done;
use crate::websocket::announce;

struct Leave {
    room_id: RoomId,
    user_id: Option<UserId>,
}

impl Read for Leave {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = fields.required("roomId");
        let user_id = fields.optional("userId");
        Ok(Self { room_id: room_id?, user_id: user_id? })
    }
}

/// `leaveRoom`: as `POST /api/rooms/{roomId}/leave`.
pub async fn leave_room(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let Leave { room_id, user_id } = Fields::parse(data)?;
    user.is(user_id.as_ref())?;
    let seq = members::leave(&app.db, user, Some(connection_id), room_id).await?;
    let notice = announce::left(app, user, room_id, seq, Some(connection_id)).await;
    Ok(Done::ack(json!({ "roomId": room_id, "seq": seq }), notice))
}
