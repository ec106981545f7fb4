//! Telling the members of a room what has been committed, the sending socket excepted: it has the
//! `ack`. Both doors, REST and WebSocket, announce through here.

use shared::App;
use shared::connections::{self, ConnectionId};
use shared::events::Event;
use shared::groups::Added;
use shared::invitations::Invited;
use shared::members::{Joined, Removed};
use shared::messages::Message;
use shared::revisions::Revised;
use shared::rooms::{Room, RoomId};
use shared::users::{User, UserId};

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

/// A file was sent.
pub async fn sent_file(app: &App, message: &Message, sockets: impl IntoIterator<Item = ConnectionId>) {
    let event = Event::ReceiveFile { room_id: message.room_id, seq: message.seq, message };
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

/// Somebody was removed, and learns so by an event of their own.
pub async fn removed(app: &App, room_id: RoomId, user_id: &UserId, removed: &Removed) {
    let Removed { seq, name } = removed;
    let event = Event::UserLeft { room_id, seq: *seq, user_id: user_id.as_str(), name, removed: true };
    to_users(app, &[user_id], &Event::RemovedFromRoom { room_id }).await;
    to_room(app, room_id, &event, None, None).await;
}

/// A room was deleted, with these members.
pub async fn room_deleted(app: &App, room_id: RoomId, members: &[UserId]) {
    let members: Vec<&UserId> = members.iter().collect();
    to_users(app, &members, &Event::RoomDeleted { room_id }).await;
}

/// Somebody was invited.
pub async fn invited(app: &App, inviter: &User, invited: &Invited) {
    let event = Event::Invitation {
        invitation_id: invited.invitation_id,
        invite_token: &invited.invite_token,
        room: &invited.room,
        from: inviter.user_id.as_str(),
        expires_at: invited.expires_at,
    };
    to_users(app, &[&invited.invitee], &event).await;
}

/// Looked up after the commit: a socket whose session ended before it hears nothing of it.
async fn to_users(app: &App, user_ids: &[&UserId], event: &Event<'_>) {
    match connections::of_users(&app.db, user_ids).await {
        Ok(sockets) => app.broadcast(event, sockets).await,
        // The act is done; who misses the push finds out by asking.
        Err(error) => error.log(""),
    }
}

/// A channel was made: for the invited users, or with none for its whole organization.
pub async fn new_chat_room(app: &App, room: &Room, invited_users: &[UserId], by: Option<&ConnectionId>) {
    let sockets = match invited_users {
        [] => connections::of_organization(&app.db, room.organization_id).await,
        _ => connections::of_users(&app.db, &invited_users.iter().collect::<Vec<_>>()).await,
    };
    match sockets {
        Ok(sockets) => chat_room(app, room, invited_users, sockets, by).await,
        // The channel is there all the same, and the list of channels has it.
        Err(error) => error.log(""),
    }
}

/// A channel is there, for these sockets.
pub async fn chat_room(
    app: &App,
    room: &Room,
    invited_users: &[UserId],
    sockets: Vec<ConnectionId>,
    by: Option<&ConnectionId>,
) {
    let event = Event::NewChatRoom {
        room_id: RoomId(room.id),
        room_name: &room.name,
        organization_id: room.organization_id,
        invited_users,
        chat_room: room,
    };
    to_others(app, &event, sockets, by).await;
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
