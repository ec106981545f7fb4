use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::events::Event;
use shared::fields::Fields;
use shared::push::Notice;
use shared::reading::{self, Position};
use shared::users::User;
use shared::{App, Result};

use super::Done;

/// `readMessage`: moves the read position of a member forward, and tells a small room so.
pub async fn read_message(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let position: Position = Fields::parse(data)?;
    let read = reading::read(&app.db, user, connection_id, &position).await?;
    let room_id = position.room_id;
    let event = Event::MessageRead { room_id, user_id: user.user_id.as_str(), read_seq: read.seq };
    let notice = Notice::new(&event, read.sockets).but_for(Some(connection_id));
    Ok(Done::ack(json!({ "roomId": room_id, "readSeq": read.seq }), notice))
}
