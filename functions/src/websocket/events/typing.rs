use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::events::Event;
use shared::fields::{Fields, Missing, Read};
use shared::push::Notice;
use shared::rooms::RoomId;
use shared::users::{User, UserId};
use shared::{App, Result, typing as typing_in};

use super::Done;

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
pub async fn typing(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let Place { room_id, user_id } = Fields::parse(data)?;
    user.is(user_id.as_ref())?;
    let sockets = typing_in::starts(app, user, connection_id, room_id).await?;
    let event = Event::Typing { room_id, user_id: user.user_id.as_str(), name: &user.name };
    let notice = Notice::new(&event, sockets).but_for(Some(connection_id));
    Ok(Done::ack(json!({ "roomId": room_id }), notice))
}

/// `stopTyping`: tells the room that its member does not any more.
pub async fn stop_typing(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let Place { room_id, user_id } = Fields::parse(data)?;
    user.is(user_id.as_ref())?;
    let sockets = typing_in::stops(app, connection_id, room_id).await?;
    let event = Event::StopTyping { room_id, user_id: user.user_id.as_str(), name: &user.name };
    let notice = Notice::new(&event, sockets).but_for(Some(connection_id));
    Ok(Done::ack(json!({ "roomId": room_id }), notice))
}
