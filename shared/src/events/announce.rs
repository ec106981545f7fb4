//! What others are told of an act that was committed: one function for each kind of act, which
//! returns the notice. REST and WebSocket both call these. `by` is the socket that asked for the act; it is
//! left out, because it gets the `ack`.

use crate::app::App;
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::user::User;
use crate::events::event::Event;
use crate::membership::groups::Added;
use crate::membership::members::{Joined, Removed};
use crate::messages::message::{Message, MessageKind};
use crate::messages::react::{self, ReactionChange};
use crate::messages::read::ReadUpTo;
use crate::messages::revise::Revised;
use crate::messages::send::Sent;
use crate::people::friends::{Answered, FriendRequest, FriendRequestStatus};
use crate::rooms::invitations::Invited;
use crate::rooms::room::Room;
use crate::sockets::connections;
use crate::sockets::tell::Notice;
use crate::{Error, Result};

/// A message or a file was sent; nothing to tell when it had been sent before.
pub fn sent(sent: &Sent, by: Option<&ConnectionId>) -> Notice {
    let Sent { message, sockets: Some(sockets) } = sent else { return Notice::default() };
    let (room_id, seq) = (message.room_id, message.seq);
    let event = match message.kind {
        MessageKind::File => Event::ReceiveFile { room_id, seq, message },
        MessageKind::Text | MessageKind::System => Event::ReceiveMessage { room_id, seq, message },
    };
    Notice::new(&event, sockets.iter().cloned()).except(by)
}

/// A message has other words; nothing to tell when it had them before. Everybody is told which of its
/// reactions are their own.
pub async fn edited(app: &App, revised: &Revised, by: Option<&ConnectionId>) -> Notice {
    if !revised.changed {
        return Notice::default();
    }
    let seen = match react::as_seen(&app.db, &revised.message).await {
        Ok(seen) => seen,
        Err(error) => return untold(&error),
    };
    let notices = seen.into_iter().map(|(message, sockets)| {
        let (room_id, seq) = (message.room_id, message.updated_seq);
        Notice::new(&Event::MessageEdited { room_id, seq, message: &message }, sockets)
    });
    notices.fold(Notice::default(), Notice::then).except(by)
}

/// Somebody reacted to a message; nothing to tell when that changed nothing.
pub async fn reacted(
    app: &App,
    user: &User,
    change: &ReactionChange,
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
    to_room(app, room_id, &event, None).await.except(Some(by))
}

/// A message was deleted; nothing to tell when it had been before.
pub async fn deleted(app: &App, revised: &Revised, by: Option<&ConnectionId>) -> Notice {
    let Message { message_id, room_id, updated_seq: seq, .. } = revised.message;
    if !revised.changed {
        return Notice::default();
    }
    to_room(app, room_id, &Event::MessageDeleted { room_id, seq, message_id }, None).await.except(by)
}

/// Somebody joined; nothing to tell when they were in the room already.
pub async fn joined(app: &App, user: &User, joined: &Joined, by: Option<&ConnectionId>) -> Notice {
    let Some(seq) = joined.seq else { return Notice::default() };
    let room_id = joined.room.id;
    let event = Event::UserJoined { room_id, seq, user_id: user.user_id.as_str(), name: &user.name };
    to_room(app, room_id, &event, None).await.except(by)
}

/// Somebody left; their other sockets learn it too.
pub async fn left(app: &App, user: &User, room_id: RoomId, seq: u64, by: Option<&ConnectionId>) -> Notice {
    let event =
        Event::UserLeft { room_id, seq, user_id: user.user_id.as_str(), name: &user.name, removed: false };
    to_room(app, room_id, &event, Some(user)).await.except(by)
}

/// A group was made, for all whom it was made with.
pub async fn group_created(app: &App, group: &Room, by: Option<&ConnectionId>) -> Notice {
    to_room(app, group.id, &Event::GroupCreated { group }, None).await.except(by)
}

/// Somebody was added to a group, and gets to know it before the join; nothing to tell when they were in
/// it already.
pub async fn added(app: &App, added: &Added, user_id: &UserId) -> Notice {
    let Added { group, joined: Some((seq, name)) } = added else { return Notice::default() };
    let room_id = group.id;
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
pub async fn channel_created(
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
        Ok(sockets) => channel(room, invited_users, sockets, by),
        Err(error) => untold(&error),
    }
}

/// A channel is there, for these sockets.
pub fn channel(
    room: &Room,
    invited_users: &[UserId],
    sockets: Vec<ConnectionId>,
    by: Option<&ConnectionId>,
) -> Notice {
    let event = Event::NewChatRoom {
        room_id: room.id,
        room_name: &room.name,
        organization_id: room.organization_id,
        invited_users,
        chat_room: room,
    };
    Notice::new(&event, sockets).except(by)
}

/// A friend request was answered; nothing to tell when it had the same answer before.
pub async fn friend_request_answered(app: &App, answered: &Answered) -> Notice {
    match answered.changed {
        true => friend_request(app, &answered.request).await,
        false => Notice::default(),
    }
}

/// A friend request was made or answered: both users are told where it stands.
pub async fn friend_request(app: &App, friend_request: &FriendRequest) -> Notice {
    let event = match friend_request.status {
        FriendRequestStatus::Pending => Event::FriendRequest { friend_request },
        FriendRequestStatus::Accepted | FriendRequestStatus::Rejected => {
            Event::FriendRequestAnswered { friend_request }
        }
    };
    to_users(app, &[&friend_request.from, &friend_request.to], &event).await
}

/// A member is writing, for these sockets.
pub fn typing(user: &User, room_id: RoomId, sockets: Vec<ConnectionId>, by: &ConnectionId) -> Notice {
    let event = Event::Typing { room_id, user_id: user.user_id.as_str(), name: &user.name };
    Notice::new(&event, sockets).except(Some(by))
}

/// A member has stopped writing, for these sockets.
pub fn stopped_typing(user: &User, room_id: RoomId, sockets: Vec<ConnectionId>, by: &ConnectionId) -> Notice {
    let event = Event::StopTyping { room_id, user_id: user.user_id.as_str(), name: &user.name };
    Notice::new(&event, sockets).except(Some(by))
}

/// A member's read position was to be moved; nothing to tell when it stayed.
pub fn read(user: &User, room_id: RoomId, read: ReadUpTo, by: &ConnectionId) -> Notice {
    let event = Event::MessageRead { room_id, user_id: user.user_id.as_str(), read_seq: read.seq };
    Notice::new(&event, read.sockets).except(Some(by))
}

/// Sessions were revoked: these sockets of theirs are told so and closed.
pub fn session_revoked(sockets: Vec<ConnectionId>) -> Notice {
    Notice::new(&Event::SessionRevoked {}, sockets).and_close()
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
    error.log();
    Notice::default()
}
