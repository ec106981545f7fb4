//! One handler for each event that a client sends. The names are in
//! [`shared::events::client_event::ClientEvent`].

use serde::Deserialize;
use serde_json::{Value, json};
use shared::base::fields::{Fields, Flag, Missing, Read, Request};
use shared::base::ids::{ConnectionId, RoomId, UploadId, UserId};
use shared::base::time;
use shared::base::user::User;
use shared::events::announce;
use shared::events::event::Outcome;
use shared::membership::{groups, members};
use shared::messages::draft::{Draft, Sender};
use shared::messages::mentions::Mentions;
use shared::messages::message::{Message, NamedMessage};
use shared::messages::react::{self, ReactionChange};
use shared::messages::read::{self, Position};
use shared::messages::revise::{self, Edit, NewContent};
use shared::messages::send;
use shared::messages::{sync as syncing, typing as writing};
use shared::rooms::channels::{self, Announced, Announcement};
use shared::rooms::room::RoomKind;
use shared::sockets::tell::Notice;
use shared::uploads::presign;
use shared::uploads::upload::Upload;
use shared::{App, Error, Result};

/// The result of a frame: the answer for its socket, and the notice for others.
#[derive(Debug)]
pub struct Handled {
    /// The answer.
    pub outcome: Outcome,
    /// The notice for others.
    pub notice: Notice,
}

impl Handled {
    fn ack(data: Value, notice: Notice) -> Self {
        Self { outcome: Outcome::Ack(data), notice }
    }
}

/// Nobody else is notified.
impl From<Outcome> for Handled {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, notice: Notice::default() }
    }
}

/// Makes the `ack` for a changed message.
fn changed(message: &Message) -> Value {
    json!({ "roomId": message.room_id, "seq": message.updated_seq, "message": message })
}

/// `joinRoom`: as `POST /api/joinroom`.
pub async fn join_room(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let joined = members::join(app, user, Some(by), Fields::parse(data)?).await?;
    let notice = announce::joined(app, user, &joined, Some(by)).await;
    let mut ack = serde_json::to_value(&joined).map_err(Error::internal)?;
    ack["roomId"] = json!(joined.room.id);
    if let Some(seq) = joined.seq {
        ack["seq"] = json!(seq);
    }
    Ok(Handled::ack(ack, notice))
}

/// The room of a frame, and the acting user, if the frame names them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InRoom {
    room_id: RoomId,
    user_id: Option<UserId>,
}

impl Request for InRoom {}

/// `leaveRoom`: as `POST /api/rooms/{roomId}/leave`.
pub async fn leave_room(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let InRoom { room_id, user_id } = Fields::parse(data)?;
    user.must_be(user_id.as_ref())?;
    let ended = members::leave(&app.db, user, Some(by), room_id).await?;
    let notice = announce::left(app, user, room_id, &ended, Some(by)).await;
    Ok(Handled::ack(json!({ "roomId": room_id, "seq": ended.seq }), notice))
}

/// `groupMessage`: as `sendMessage`, but only for groups. The room's field is called `groupId`.
pub struct GroupMessage(pub Draft);

impl Read for GroupMessage {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Draft::read_for(fields, "groupId", Some(RoomKind::Group)).map(Self)
    }
}

/// `sendMessage` and `groupMessage`: as `POST /api/messages`.
pub async fn send_message(app: &App, by: &ConnectionId, draft: Draft) -> Result<Handled> {
    let sent = send::send(app, Sender::Socket(by), draft).await?;
    let notice = announce::sent(&sent, Some(by));
    let message = sent.message;
    let ack = json!({ "roomId": message.room_id, "seq": message.seq, "message": message });
    Ok(Handled::ack(ack, notice))
}

/// `sendMessages`: as `POST /api/messages/batch`. The answer names the messages, which the client has.
pub async fn send_messages(app: &App, by: &ConnectionId, draft: Draft) -> Result<Handled> {
    let room_id = draft.room_id;
    let sent = send::send_list(app, Sender::Socket(by), draft).await?;
    let notice = announce::sent_list(&sent, Some(by));
    let last = sent.messages.iter().map(|message| message.seq).max();
    let named = sent.messages.iter().map(|Message { message_id, seq, client_message_id, .. }| {
        json!({ "messageId": message_id, "seq": seq, "clientMessageId": client_message_id })
    });
    let ack = json!({ "roomId": room_id, "seq": last, "messages": named.collect::<Vec<_>>() });
    Ok(Handled::ack(ack, notice))
}

/// `editMessage`: as `PATCH /api/messages/{messageId}`.
pub async fn edit_message(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct EditOf {
        message_id: NamedMessage,
        content: NewContent,
        mentions: Option<Mentions>,
        mentions_all: Option<Flag>,
    }
    impl Request for EditOf {}
    let EditOf { message_id, content, mentions, mentions_all } = Fields::parse(data)?;
    let edit = Edit { content, mentions, mentions_all };
    let revised = revise::edit(&app.db, user, Some(by), message_id, &edit).await?;
    let notice = announce::edited(app, &revised, Some(by)).await;
    Ok(Handled::ack(changed(&revised.message), notice))
}

/// `deleteMessage`: as `DELETE /api/messages/{messageId}`.
pub async fn delete_message(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let message_id: NamedMessage = Fields::one_of(data, "messageId")?;
    let revised = revise::delete(&app.db, user, Some(by), message_id).await?;
    let notice = announce::deleted(app, &revised, Some(by)).await;
    Ok(Handled::ack(changed(&revised.message), notice))
}

/// `reactMessage`: adds the user's reaction to a message, or removes it.
pub async fn react_message(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let change: ReactionChange = Fields::parse(data)?;
    let reacted = react::react(&app.db, user, by, &change).await?;
    let notice = announce::reacted(app, user, &change, &reacted, by).await;
    Ok(Handled::ack(changed(&reacted.revised.message), notice))
}

/// `readMessage`: moves the user's read position forward.
pub async fn read_message(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let position: Position = Fields::parse(data)?;
    let read = read::read(&app.db, user, by, &position).await?;
    let ack = json!({ "roomId": position.room_id, "readSeq": read.seq });
    Ok(Handled::ack(ack, announce::read(user, position.room_id, read, by)))
}

/// `typing`: notifies a small room that a member is typing.
pub async fn typing(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let InRoom { room_id, user_id } = Fields::parse(data)?;
    user.must_be(user_id.as_ref())?;
    let sockets = writing::start(app, user, by, room_id).await?;
    let notice = announce::typing(user, room_id, sockets, by);
    Ok(Handled::ack(json!({ "roomId": room_id }), notice))
}

/// `stopTyping`: notifies a small room that a member has stopped typing.
pub async fn stop_typing(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let InRoom { room_id, user_id } = Fields::parse(data)?;
    user.must_be(user_id.as_ref())?;
    let sockets = writing::stop(&app.db, by, room_id).await?;
    let notice = announce::stopped_typing(user, room_id, sockets, by);
    Ok(Handled::ack(json!({ "roomId": room_id }), notice))
}

/// `newChatRoom`: creates a channel, as `POST /api/chat`, or takes an existing one, and announces it to the
/// invited users or to the whole organization.
pub async fn new_chat_room(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let announcement: Announcement = Fields::parse(data)?;
    let Announced { room, sockets } = channels::find_or_create(app, user, by, &announcement).await?;
    let invited = announcement.invited_users.0.as_slice();
    let notice = match sockets {
        Some(sockets) => announce::channel(&room, invited, sockets, Some(by)),
        None => announce::channel_created(app, &room, invited, Some(by)).await,
    };
    Ok(Handled::ack(json!({ "roomId": room.id, "chatRoom": room }), notice))
}

/// `createGroup`: as `POST /groups`.
pub async fn create_group(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let group = groups::create(app, user, Some(by), &Fields::parse(data)?).await?;
    let notice = announce::group_created(app, &group, Some(by)).await;
    Ok(Handled::ack(json!({ "roomId": group.id, "group": group }), notice))
}

/// `joinGroup`: returns the group to one of its members. It does not make anybody a member.
pub async fn join_group(app: &App, user: &User, data: Value) -> Result<Handled> {
    let group_id: RoomId = Fields::one_of(data, "groupId")?;
    let group = groups::of_member(&app.db, user, group_id).await?;
    Ok(Outcome::Ack(json!({ "roomId": group.id, "group": group })).into())
}

/// `sendFile`: as `POST /uploads/{uploadId}/complete`.
pub async fn send_file(app: &App, user: &User, by: &ConnectionId, data: Value) -> Result<Handled> {
    let upload_id: UploadId = Fields::one_of(data, "uploadId")?;
    let sent = presign::complete(app, user, Some(by), &upload_id).await?;
    let notice = announce::sent(&sent, Some(by));
    let message = sent.message;
    let ack = json!({
        "roomId": message.room_id, "seq": message.seq, "upload": Upload::of(&message), "message": message
    });
    Ok(Handled::ack(ack, notice))
}

/// `sync`: as `POST /api/sync`, with a smaller answer.
pub async fn sync(app: &App, asker: &User, data: Value) -> Result<Handled> {
    let cursors = Fields::parse(data)?;
    let changes = syncing::changes(&app.db, asker, &cursors, syncing::SOCKET_BYTES).await?;
    Ok(Outcome::Sync(serde_json::to_value(changes).map_err(Error::internal)?).into())
}

/// `ping`: keeps an idle socket open, which API Gateway would close after ten minutes.
pub fn ping() -> Handled {
    Outcome::Pong(json!({ "time": time::rfc3339(time::now()) })).into()
}
