use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::events::{Event, Outcome};
use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;
use shared::users::{User, UserId};
use shared::{App, Result, typing as typing_in};

use crate::websocket::announce;

struct Place {
    room_id: RoomId,
    user_id: Option<UserId>,
}

impl Read for Place {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = fields.required("roomId");
        let user_id = fields.optional("userId");
        Ok(Self { room_id: room_id?, user_id: user_id? })
    }
}

/// `typing`: tells the room that its member is writing.
pub async fn typing(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Outcome> {
    let Place { room_id, user_id } = Fields::parse(data)?;
    user.is(user_id.as_ref())?;
    let sockets = typing_in::starts(app, user, connection_id, room_id).await?;
    let event = Event::Typing { room_id, user_id: user.user_id.as_str(), name: &user.name };
    announce::to_others(app, &event, sockets, Some(connection_id)).await;
    Ok(Outcome::Ack(json!({ "roomId": room_id })))
}

/// `stopTyping`: tells the room that its member does not any more.
pub async fn stop_typing(
    app: &App,
    user: &User,
    connection_id: &ConnectionId,
    data: Value,
) -> Result<Outcome> {
    let Place { room_id, user_id } = Fields::parse(data)?;
    user.is(user_id.as_ref())?;
    let sockets = typing_in::stops(app, connection_id, room_id).await?;
    let event = Event::StopTyping { room_id, user_id: user.user_id.as_str(), name: &user.name };
    announce::to_others(app, &event, sockets, Some(connection_id)).await;
    Ok(Outcome::Ack(json!({ "roomId": room_id })))
}
