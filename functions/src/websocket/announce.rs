//! Telling the members of a room what has been committed, the sending socket excepted: it has the
//! `ack`. Both doors, REST and WebSocket, announce through here.

use shared::App;
use shared::connections::{self, ConnectionId};
use shared::events::Event;
use shared::members::Joined;
use shared::messages::Message;
use shared::revisions::Revised;
use shared::rooms::RoomId;
use shared::users::User;

/// A message was sent.
pub async fn sent(app: &App, message: &Message, sockets: impl IntoIterator<Item = ConnectionId>) {
    let event = Event::ReceiveMessage { room_id: message.room_id, seq: message.seq, message };
    app.broadcast(&event, sockets).await;
}

/// A message has other words; nothing to tell when it had them before.
pub async fn edited(app: &App, revised: &Revised, by: Option<&ConnectionId>) {
    let message = &revised.message;
    if revised.changed {
        let event = Event::MessageEdited { room_id: message.room_id, seq: message.updated_seq, message };
        to_room(app, message.room_id, &event, None, by).await;
    }
}

/// A message was deleted; nothing to tell when it had been before.
pub async fn deleted(app: &App, revised: &Revised, by: Option<&ConnectionId>) {
    let Message { message_id, room_id, updated_seq: seq, .. } = revised.message;
    if revised.changed {
        to_room(app, room_id, &Event::MessageDeleted { room_id, seq, message_id }, None, by).await;
    }
}

/// Somebody joined; nothing to tell when they were in the room already.
pub async fn joined(app: &App, user: &User, joined: &Joined, by: Option<&ConnectionId>) {
    let Some(seq) = joined.seq else { return };
    let room_id = RoomId(joined.room.id);
    let event = Event::UserJoined { room_id, seq, user_id: user.user_id.as_str(), name: &user.name };
    to_room(app, room_id, &event, None, by).await;
}

/// Somebody left; their other sockets learn it too.
pub async fn left(app: &App, user: &User, room_id: RoomId, seq: u64, by: Option<&ConnectionId>) {
    let event =
        Event::UserLeft { room_id, seq, user_id: user.user_id.as_str(), name: &user.name, removed: false };
    to_room(app, room_id, &event, Some(user), by).await;
}

async fn to_room(
    app: &App,
    room_id: RoomId,
    event: &Event<'_>,
    and_of: Option<&User>,
    by: Option<&ConnectionId>,
) {
    match connections::of_room(&app.db, room_id, and_of.map(|user| &user.user_id)).await {
        Ok(sockets) => {
            app.broadcast(event, sockets.into_iter().filter(|socket| Some(socket) != by)).await;
        }
        // The act is done; who misses the push catches up by the numbers.
        Err(error) => error.log(""),
    }
}
