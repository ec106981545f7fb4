//! What others are told of an act that has been committed, the sending socket excepted: it has the `ack`.
//! Both doors, REST and WebSocket, announce through here: by REST before the answer, on a socket
//! together with it.

use shared::connections::{self, ConnectionId};
use shared::events::Event;
use shared::groups::Added;
use shared::invitations::Invited;
use shared::members::{Joined, Removed};
use shared::messages::Message;
use shared::push::Notice;
use shared::reactions::{self, Change};
use shared::revisions::Revised;
use shared::rooms::{Room, RoomId};
use shared::users::{User, UserId};
use shared::{App, Error, Result};

/// A message was sent.
pub fn sent(message: &Message, sockets: Vec<ConnectionId>, by: Option<&ConnectionId>) -> Notice {
    let event = Event::ReceiveMessage { room_id: message.room_id, seq: message.seq, message };
    Notice::new(&event, sockets).but_for(by)
}

/// A file was sent.
pub fn sent_file(message: &Message, sockets: Vec<ConnectionId>, by: Option<&ConnectionId>) -> Notice {
    let event = Event::ReceiveFile { room_id: message.room_id, seq: message.seq, message };
    Notice::new(&event, sockets).but_for(by)
}

/// A message has other words; nothing to tell when it had them before. Everybody is told which of its
/// reactions are their own.
pub async fn edited(app: &App, revised: &Revised, by: Option<&ConnectionId>) -> Notice {
    if !revised.changed {
        return Notice::default();
    }
    let seen = match reactions::as_seen(&app.db, &revised.message).await {
        Ok(seen) => seen,
        Err(error) => return untold(&error),
    };
    let notices = seen.into_iter().map(|(message, sockets)| {
        let (room_id, seq) = (message.room_id, message.updated_seq);
        Notice::new(&Event::MessageEdited { room_id, seq, message: &message }, sockets)
    });
    notices.fold(Notice::default(), Notice::then).but_for(by)
}

/// Somebody reacted to a message; nothing to tell when that changed nothing.
pub async fn reacted(
    app: &App,
    user: &User,
    change: &Change,
    revised: &Revised,
    by: &ConnectionId,
) -> Notice {
    let Message { message_id, room_id, updated_seq: seq, .. } = revised.message;
    if !revised.changed {
        return Notice::default();
    }
    let event = Event::MessageReaction {
        room_id,
        seq,
        message_id,
        user_id: user.user_id.as_str(),
        reaction: &change.reaction,
        removed: change.remove,
    };
    to_room(app, room_id, &event, None).await.but_for(Some(by))
}

/// A message was deleted; nothing to tell when it had been before.
pub async fn deleted(app: &App, revised: &Revised, by: Option<&ConnectionId>) -> Notice {
    let Message { message_id, room_id, updated_seq: seq, .. } = revised.message;
    if !revised.changed {
        return Notice::default();
    }
    to_room(app, room_id, &Event::MessageDeleted { room_id, seq, message_id }, None).await.but_for(by)
}

/// Somebody joined; nothing to tell when they were in the room already.
pub async fn joined(app: &App, user: &User, joined: &Joined, by: Option<&ConnectionId>) -> Notice {
    let Some(seq) = joined.seq else { return Notice::default() };
    let room_id = RoomId(joined.room.id);
    let event = Event::UserJoined { room_id, seq, user_id: user.user_id.as_str(), name: &user.name };
    to_room(app, room_id, &event, None).await.but_for(by)
}

/// Somebody left; their other sockets learn it too.
pub async fn left(app: &App, user: &User, room_id: RoomId, seq: u64, by: Option<&ConnectionId>) -> Notice {
    let event =
        Event::UserLeft { room_id, seq, user_id: user.user_id.as_str(), name: &user.name, removed: false };
    to_room(app, room_id, &event, Some(user)).await.but_for(by)
}

/// A group was made, for all whom it was made with.
pub async fn group_created(app: &App, group: &Room, by: Option<&ConnectionId>) -> Notice {
    to_room(app, RoomId(group.id), &Event::GroupCreated { group }, None).await.but_for(by)
}

/// Somebody was added to a group, and gets to know it before the join; nothing to tell when they were in
/// it already.
pub async fn added(app: &App, added: &Added, user_id: &UserId) -> Notice {
    let Added { group, joined: Some((seq, name)) } = added else { return Notice::default() };
    let room_id = RoomId(group.id);
    let event = Event::UserJoined { room_id, seq: *seq, user_id: user_id.as_str(), name };
    let addition = to_users(app, &[user_id], &Event::AddedToGroup { group }).await;
    addition.then(to_room(app, room_id, &event, None).await)
}

/// Somebody was removed, and learns so by an event of their own.
pub async fn removed(app: &App, room_id: RoomId, user_id: &UserId, removed: &Removed) -> Notice {
    let Removed { seq, name } = removed;
    let event = Event::UserLeft { room_id, seq: *seq, user_id: user_id.as_str(), name, removed: true };
    let removal = to_users(app, &[user_id], &Event::RemovedFromRoom { room_id }).await;
    removal.then(to_room(app, room_id, &event, None).await)
}

/// A room was deleted, with these members.
pub async fn room_deleted(app: &App, room_id: RoomId, members: &[UserId]) -> Notice {
    let members: Vec<&UserId> = members.iter().collect();
    to_users(app, &members, &Event::RoomDeleted { room_id }).await
}

/// Somebody was invited.
pub async fn invited(app: &App, inviter: &User, invited: &Invited) -> Notice {
    let event = Event::Invitation {
        invitation_id: invited.invitation_id,
        invite_token: &invited.invite_token,
        room: &invited.room,
        from: inviter.user_id.as_str(),
        expires_at: invited.expires_at,
    };
    to_users(app, &[&invited.invitee], &event).await
}

/// A channel was made: for the invited users, or with none for its whole organization.
pub async fn new_chat_room(
    app: &App,
    room: &Room,
    invited_users: &[UserId],
    by: Option<&ConnectionId>,
) -> Notice {
    let sockets = match invited_users {
        [] => connections::of_organization(&app.db, room.organization_id).await,
        _ => connections::of_users(&app.db, &invited_users.iter().collect::<Vec<_>>()).await,
    };
    match sockets {
        Ok(sockets) => chat_room(room, invited_users, sockets, by),
        Err(error) => untold(&error),
    }
}

/// A channel is there, for these sockets.
pub fn chat_room(
    room: &Room,
    invited_users: &[UserId],
    sockets: Vec<ConnectionId>,
    by: Option<&ConnectionId>,
) -> Notice {
    let event = Event::NewChatRoom {
        room_id: RoomId(room.id),
        room_name: &room.name,
        organization_id: room.organization_id,
        invited_users,
        chat_room: room,
    };
    Notice::new(&event, sockets).but_for(by)
}

async fn to_users(app: &App, user_ids: &[&UserId], event: &Event<'_>) -> Notice {
    notice(event, connections::of_users(&app.db, user_ids).await)
}

async fn to_room(app: &App, room_id: RoomId, event: &Event<'_>, and_of: Option<&User>) -> Notice {
    notice(event, connections::of_room(&app.db, room_id, and_of.map(|user| &user.user_id)).await)
}

/// For sockets that were looked up after the commit, so that one whose session ended before it hears
/// nothing of it.
fn notice(event: &Event<'_>, sockets: Result<Vec<ConnectionId>>) -> Notice {
    match sockets {
        Ok(sockets) => Notice::new(event, sockets),
        Err(error) => untold(&error),
    }
}

/// The act is done; who misses the push catches up by the numbers, or finds it in a list.
fn untold(error: &Error) -> Notice {
    error.log("");
    Notice::default()
}
