//! Telling the members of a room what has been committed, the sending socket excepted: it has the
//! `ack`. Both doors, REST and WebSocket, announce through here.

use shared::App;
use shared::connections::{self, ConnectionId};
use shared::events::Event;
use shared::members::Joined;
use shared::messages::Message;
use shared::rooms::{Room, RoomId};
use shared::users::{User, UserId};

/// A message was sent.
pub async fn sent(app: &App, message: &Message, sockets: impl IntoIterator<Item = ConnectionId>) {
    let event = Event::ReceiveMessage { room_id: message.room_id, seq: message.seq, message };
    app.broadcast(&event, sockets).await;
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

/// A channel is there: for the invited users, or with none for its whole organization.
pub async fn new_chat_room(app: &App, room: &Room, invited_users: &[UserId], by: Option<&ConnectionId>) {
    let event = Event::NewChatRoom {
        room_id: RoomId(room.id),
        room_name: &room.name,
        organization_id: room.organization_id,
        invited_users,
        chat_room: room,
    };
    let sockets = match invited_users {
        [] => connections::of_organization(&app.db, room.organization_id).await,
        _ => connections::of_users(&app.db, &invited_users.iter().collect::<Vec<_>>()).await,
    };
    match sockets {
        Ok(sockets) => to_others(app, &event, sockets, by).await,
        // The channel is there all the same, and the list of channels has it.
        Err(error) => error.log(""),
    }
}

/// A room is gone; these were the sockets of its members.
pub async fn room_deleted(app: &App, room_id: RoomId, sockets: Vec<ConnectionId>) {
    app.broadcast(&Event::RoomDeleted { room_id }, sockets).await;
}

/// An event for these sockets, but not for the one that made it.
pub async fn to_others(app: &App, event: &Event<'_>, sockets: Vec<ConnectionId>, by: Option<&ConnectionId>) {
    app.broadcast(event, sockets.into_iter().filter(|socket| Some(socket) != by)).await;
}

async fn to_room(
    app: &App,
    room_id: RoomId,
    event: &Event<'_>,
    and_of: Option<&User>,
    by: Option<&ConnectionId>,
) {
    match connections::of_room(&app.db, room_id, and_of.map(|user| &user.user_id)).await {
        Ok(sockets) => to_others(app, event, sockets, by).await,
        // The act is done; who misses the push catches up by the numbers.
        Err(error) => error.log(""),
    }
}
