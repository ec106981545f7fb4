//! The notices of committed changes: one function for each kind of change returns its notice. REST and
//! WebSocket both call these. `by` is the socket that requested the change; it is left out, because it gets
//! the `ack`.

use bytes::Bytes;

use crate::app::App;
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::socket::{Protocol, Socket};
use crate::base::user::User;
use crate::events::event::{ClosingReason, Event};
use crate::events::presence;
use crate::membership::groups::Added;
use crate::membership::members::{Ended, Joined, Removed};
use crate::membership::roles::Passed;
use crate::membership::settings;
use crate::messages::message::{Message, MessageKind};
use crate::messages::react::{self, Reacted, ReactionChange};
use crate::messages::read::ReadUpTo;
use crate::messages::revise::Revised;
use crate::messages::send::{Sent, SentList};
use crate::people::friends::{Answered, FriendRequest, FriendRequestStatus};
use crate::people::presence::{shown, sockets_around};
use crate::people::settings::Updated;
use crate::rooms::invitations::Invited;
use crate::rooms::preferences;
use crate::rooms::room::Room;
use crate::sockets::connections;
use crate::sockets::socket_io;
use crate::sockets::tell::Notice;
use crate::{Error, Result};

/// Notifies a room of a message or file. Nobody is notified when it had been sent before.
pub fn sent(sent: &Sent, by: Option<&ConnectionId>) -> Notice {
    let Sent { message, sockets: Some(sockets), room } = sent else { return Notice::default() };
    of_message(message, sockets, room.as_ref()).except(by)
}

/// Notifies a room of several messages, in their order. Nobody is notified when they had been sent before.
pub fn sent_list(sent: &SentList, by: Option<&ConnectionId>) -> Notice {
    let SentList { messages, sockets: Some(sockets) } = sent else { return Notice::default() };
    let notices = messages.iter().map(|message| of_message(message, sockets, None));
    notices.fold(Notice::default(), Notice::then).except(by)
}

fn of_message(message: &Message, sockets: &[Socket], room: Option<&Room>) -> Notice {
    let (room_id, seq) = (message.room_id, message.seq);
    let event = match message.kind {
        MessageKind::File => Event::ReceiveFile { room_id, seq, message },
        MessageKind::Text | MessageKind::System => Event::ReceiveMessage { room_id, seq, message, room },
    };
    Notice::new(&event, sockets.iter().cloned())
}

/// Notifies a room of an edited message. Nobody is notified when the text stayed the same.
pub async fn edited(app: &App, revised: &Revised, by: Option<&ConnectionId>) -> Notice {
    let notices = seen(app, revised).await.into_iter().map(|(message, sockets)| {
        let (room_id, seq) = (message.room_id, message.updated_seq);
        Notice::new(&Event::MessageEdited { room_id, seq, message: &message }, sockets)
    });
    notices.fold(Notice::default(), Notice::then).except(by)
}

/// Notifies a room of a reaction. Nobody is notified when it changed nothing.
pub async fn reacted(
    app: &App,
    user: &User,
    change: &ReactionChange,
    Reacted { revised, reaction }: &Reacted,
    by: &ConnectionId,
) -> Notice {
    let notices = seen(app, revised).await.into_iter().map(|(message, sockets)| {
        let event = Event::MessageReaction {
            room_id: message.room_id,
            seq: message.updated_seq,
            message_id: message.message_id,
            user_id: user.user_id.as_str(),
            reaction,
            removed: change.remove,
            message: &message,
        };
        Notice::new(&event, sockets)
    });
    notices.fold(Notice::default(), Notice::then).except(Some(by))
}

/// A changed message as each member sees it, with which of its reactions are their own, and their sockets. Nobody sees
/// one that did not change.
async fn seen(app: &App, revised: &Revised) -> Vec<(Message, Vec<Socket>)> {
    if !revised.changed {
        return Vec::new();
    }
    react::as_seen(&app.db, &revised.message).await.unwrap_or_else(|error| {
        error.log();
        Vec::new()
    })
}

/// Notifies a room of a deleted message. Nobody is notified when it had been deleted before.
pub async fn deleted(app: &App, revised: &Revised, by: Option<&ConnectionId>) -> Notice {
    let Message { message_id, room_id, updated_seq: seq, .. } = revised.message;
    if !revised.changed {
        return Notice::default();
    }
    let event = Event::MessageDeleted { room_id, seq, message_id, message: &revised.message };
    to_room(app, room_id, &event, None).await.except(by)
}

/// Notifies a room of a new member. Nobody is notified when the user was already a member.
pub async fn joined(app: &App, user: &User, joined: &Joined, by: Option<&ConnectionId>) -> Notice {
    let Some(seq) = joined.seq else { return Notice::default() };
    let event = user_joined(&joined.room, seq, &user.user_id, &user.name);
    to_room(app, joined.room.id, &event, None).await.except(by)
}

/// A room's new member. The room is as it was when they joined.
fn user_joined<'a>(room: &'a Room, seq: u64, user_id: &'a UserId, name: &'a str) -> Event<'a> {
    Event::UserJoined {
        room_id: room.id,
        seq,
        user_id: user_id.as_str(),
        name,
        member_count: room.member_count,
        created_at: room.updated_at,
        room,
    }
}

/// Notifies a room, and the other sockets of the user, that the user has left.
pub async fn left(
    app: &App,
    user: &User,
    room_id: RoomId,
    ended: &Ended,
    by: Option<&ConnectionId>,
) -> Notice {
    let event = user_left(room_id, ended, &user.user_id, &user.name, false);
    to_room(app, room_id, &event, Some(user)).await.except(by)
}

fn user_left<'a>(
    room_id: RoomId,
    ended: &Ended,
    user_id: &'a UserId,
    name: &'a str,
    removed: bool,
) -> Event<'a> {
    let Ended { seq, ended_at: created_at, member_count } = *ended;
    Event::UserLeft { room_id, seq, user_id: user_id.as_str(), name, removed, member_count, created_at }
}

/// Notifies all first members of a group that it was created.
pub async fn group_created(app: &App, group: &Room, by: Option<&ConnectionId>) -> Notice {
    to_room(app, group.id, &Event::GroupCreated { group }, None).await.except(by)
}

/// Notifies a group of a user who was added. The user first gets an event of their own. Nobody is notified
/// when the user was already a member.
pub async fn added(app: &App, added: &Added, user_id: &UserId) -> Notice {
    let Added { group, joined: Some((seq, name)) } = added else { return Notice::default() };
    let event = user_joined(group, *seq, user_id, name);
    let addition = to_users(app, &[user_id], &Event::AddedToGroup { group }).await;
    addition.then(to_room(app, group.id, &event, None).await)
}

/// Notifies a room of a removed member, and the removed user with an event of their own.
pub async fn removed(app: &App, room_id: RoomId, user_id: &UserId, removed: &Removed) -> Notice {
    let Removed { ended, name } = removed;
    let event = user_left(room_id, ended, user_id, name, true);
    let removal = to_users(app, &[user_id], &Event::RemovedFromRoom { room_id }).await;
    removal.then(to_room(app, room_id, &event, None).await)
}

/// Notifies the members of a room that it was deleted.
pub async fn room_deleted(app: &App, room_id: RoomId, members: &[UserId]) -> Notice {
    let members: Vec<&UserId> = members.iter().collect();
    to_users(app, &members, &Event::RoomDeleted { room_id }).await
}

/// Notifies a room of new settings. Nobody is notified when they were so before.
pub async fn room_updated(app: &App, user: &User, updated: &settings::Updated) -> Notice {
    let settings::Updated { room, seq: Some(seq) } = updated else { return Notice::default() };
    let event = Event::RoomUpdated {
        room_id: room.id,
        seq: *seq,
        user_id: user.user_id.as_str(),
        name: &user.name,
        room,
        created_at: room.updated_at,
    };
    to_room(app, room.id, &event, None).await
}

/// Notifies a room of its new owner. `user` was the owner before.
pub async fn ownership_passed(app: &App, user: &User, room_id: RoomId, passed: &Passed) -> Notice {
    let event = Event::OwnerChanged {
        room_id,
        seq: passed.seq,
        user_id: passed.owner.user_id.as_str(),
        name: &passed.owner.name,
        previous_user_id: user.user_id.as_str(),
        created_at: passed.passed_at,
    };
    to_room(app, room_id, &event, None).await
}

/// Notifies a user's sockets of what they chose for a room. Nobody is notified when it was so before.
pub async fn membership_updated(
    app: &App,
    user: &User,
    room_id: RoomId,
    updated: &preferences::Updated,
) -> Notice {
    let preferences::Updated { preferences, changed: true } = updated else { return Notice::default() };
    let event = Event::MembershipUpdated { room_id, membership: preferences };
    to_users(app, &[&user.user_id], &event).await
}

/// Notifies a user of an invitation.
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

/// Notifies the invited users of a new channel, or its whole organization if there are none.
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

/// Announces a channel to these sockets.
pub fn channel(
    room: &Room,
    invited_users: &[UserId],
    sockets: Vec<Socket>,
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

/// Notifies both users of an answered friend request. Nobody is notified when it had the same answer before.
pub async fn friend_request_answered(app: &App, answered: &Answered) -> Notice {
    match answered.changed {
        true => friend_request(app, &answered.request).await,
        false => Notice::default(),
    }
}

/// Notifies both users of the status of a friend request that was sent or answered.
pub async fn friend_request(app: &App, friend_request: &FriendRequest) -> Notice {
    let event = match friend_request.status {
        FriendRequestStatus::Pending => Event::FriendRequest { friend_request },
        FriendRequestStatus::Accepted | FriendRequestStatus::Rejected => {
            Event::FriendRequestAnswered { friend_request }
        }
    };
    to_users(app, &[&friend_request.from, &friend_request.to], &event).await
}

/// Notifies both users that a friend request was withdrawn.
pub async fn friend_request_withdrawn(app: &App, friend_request: &FriendRequest) -> Notice {
    let event = Event::FriendRequestWithdrawn { friend_request };
    to_users(app, &[&friend_request.from, &friend_request.to], &event).await
}

/// Notifies a user's own sockets, and the people around the user, of their name and avatar as they are now.
pub async fn user_updated(app: &App, user_id: &UserId) -> Notice {
    let told = async {
        let user = shown(&app.db, user_id).await?;
        let sockets = sockets_around(&app.db, user_id).await?;
        Ok(Notice::new(&Event::UserUpdated { user: &user }, sockets))
    };
    told.await.unwrap_or_else(|error| untold(&error))
}

/// Notifies a user's own sockets of their settings, and those around the user of a change of `show_presence`.
pub async fn settings_updated(app: &App, user: &User, updated: &Updated) -> Notice {
    let Updated { settings, presence_changed } = updated;
    if !presence_changed {
        return Notice::default();
    }
    let own = to_users(app, &[&user.user_id], &Event::SettingsUpdated { settings }).await;
    let others = presence::shown_or_hidden(app, &user.user_id, settings.show_presence).await;
    own.then(others.unwrap_or_else(|error| untold(&error)))
}

/// Notifies these sockets that a member is typing.
pub fn typing(user: &User, room_id: RoomId, sockets: Vec<Socket>, by: &ConnectionId) -> Notice {
    let event = Event::Typing { room_id, user_id: user.user_id.as_str(), name: &user.name };
    Notice::new(&event, sockets).except(Some(by))
}

/// Notifies these sockets that a member has stopped typing.
pub fn stopped_typing(user: &User, room_id: RoomId, sockets: Vec<Socket>, by: &ConnectionId) -> Notice {
    let event = Event::StopTyping { room_id, user_id: user.user_id.as_str(), name: &user.name };
    Notice::new(&event, sockets).except(Some(by))
}

/// Notifies a room of a member's read position. Nobody is notified when nothing changed.
pub fn read(user: &User, room_id: RoomId, read: ReadUpTo, by: &ConnectionId) -> Notice {
    let event = Event::MessageRead { room_id, user_id: user.user_id.as_str(), read_seq: read.seq };
    Notice::new(&event, read.sockets).except(Some(by))
}

/// Notifies the sockets of revoked sessions, and closes them.
pub fn session_revoked(sockets: Vec<Socket>) -> Notice {
    Notice::new(&Event::SessionRevoked {}, sockets).and_close_for_good()
}

/// Tells these sockets why they are closed, and closes them.
pub fn closing(sockets: impl IntoIterator<Item = Socket>, reason: ClosingReason) -> Notice {
    let notice = Notice::new(&Event::closing(reason), sockets);
    if reason.lets_reconnect() { notice.and_close() } else { notice.and_close_for_good() }
}

/// The last text for a socket whose server stops, or `None` if it cannot be written.
pub fn server_restart(protocol: Protocol) -> Option<Bytes> {
    let frame = serde_json::to_vec(&Event::closing(ClosingReason::ServerRestart)).ok()?;
    match protocol {
        Protocol::Frames => Some(frame.into()),
        Protocol::SocketIo => socket_io::event_of(&frame),
    }
}

async fn to_users(app: &App, user_ids: &[&UserId], event: &Event<'_>) -> Notice {
    notice(event, connections::of_users(&app.db, user_ids).await)
}

async fn to_room(app: &App, room_id: RoomId, event: &Event<'_>, and_of: Option<&User>) -> Notice {
    notice(event, connections::of_room(&app.db, room_id, and_of.map(|user| &user.user_id)).await)
}

/// Makes a notice for sockets that were looked up after the commit. A socket whose session ended before the
/// commit is not among them.
fn notice(event: &Event<'_>, sockets: Result<Vec<Socket>>) -> Notice {
    match sockets {
        Ok(sockets) => Notice::new(event, sockets),
        Err(error) => untold(&error),
    }
}

/// Logs an error of the lookup. The change is committed; a client that misses the push catches up by the
/// sequence numbers, or finds the change in a list.
fn untold(error: &Error) -> Notice {
    error.log();
    Notice::default()
}
