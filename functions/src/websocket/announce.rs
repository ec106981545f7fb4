//! Telling the members of a room what has been committed, the sending socket excepted: it has the
//! `ack`. Both doors, REST and WebSocket, announce through here.

use shared::App;
use shared::connections::{self, ConnectionId};
use shared::events::Event;
use shared::groups::Added;
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

/// A group was made, for all whom it was made with.
pub async fn group_created(app: &App, group: &Room, by: Option<&ConnectionId>) {
    to_room(app, RoomId(group.id), &Event::GroupCreated { group }, None, by).await;
}

/// Somebody was added to a group, and gets to know it before the join; nothing to tell when they were in
/// it already.
pub async fn added(app: &App, added: &Added, user_id: &UserId) {
    let Added { group, joined: Some((seq, name)) } = added else { return };
    match connections::of_users(&app.db, &[user_id]).await {
        Ok(sockets) => app.broadcast(&Event::AddedToGroup { group }, sockets).await,
        // The act is done, and the list of chats has the group.
        Err(error) => error.log(""),
    }
    let room_id = RoomId(group.id);
    let event = Event::UserJoined { room_id, seq: *seq, user_id: user_id.as_str(), name };
    to_room(app, room_id, &event, None, None).await;
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
