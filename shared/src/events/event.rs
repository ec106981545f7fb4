//! What the service sends on a socket (`docs/contract.md`, "Pushes" and "Frames").

use chrono::NaiveDateTime;
use serde::Serialize;
use serde_json::Value;
use strum::VariantNames;

use crate::base::ids::{RoomId, UserId};
use crate::base::time;
use crate::base::tokens::IssuedToken;
use crate::messages::message::{Message, MessageId, Reaction};
use crate::people::friends::FriendRequest;
use crate::rooms::invitations::InvitationId;
use crate::rooms::room::Room;

/// An event that users get, as `{"event": …, "data": {…}}`.
#[derive(Clone, Debug, Serialize, VariantNames)]
#[strum(serialize_all = "camelCase")]
#[serde(tag = "event", content = "data", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's event and field of its name")]
pub enum Event<'a> {
    UserJoined {
        room_id: RoomId,
        seq: u64,
        user_id: &'a str,
        name: &'a str,
    },
    UserLeft {
        room_id: RoomId,
        seq: u64,
        user_id: &'a str,
        name: &'a str,
        removed: bool,
    },
    RemovedFromRoom {
        room_id: RoomId,
    },
    RoomDeleted {
        room_id: RoomId,
    },
    Invitation {
        invitation_id: InvitationId,
        invite_token: &'a IssuedToken,
        room: &'a Room,
        from: &'a str,
        #[serde(serialize_with = "time::serialize")]
        expires_at: NaiveDateTime,
    },
    GroupCreated {
        group: &'a Room,
    },
    AddedToGroup {
        group: &'a Room,
    },
    SessionRevoked {},
    FriendRequest {
        friend_request: &'a FriendRequest,
    },
    FriendRequestAnswered {
        friend_request: &'a FriendRequest,
    },
    Presence {
        user_id: &'a str,
        online: bool,
    },
    ReceiveMessage {
        room_id: RoomId,
        seq: u64,
        message: &'a Message,
    },
    ReceiveFile {
        room_id: RoomId,
        seq: u64,
        message: &'a Message,
    },
    MessageEdited {
        room_id: RoomId,
        seq: u64,
        message: &'a Message,
    },
    MessageDeleted {
        room_id: RoomId,
        seq: u64,
        message_id: MessageId,
    },
    MessageReaction {
        room_id: RoomId,
        seq: u64,
        message_id: MessageId,
        user_id: &'a str,
        reaction: &'a Reaction,
        removed: bool,
    },
    NewChatRoom {
        room_id: RoomId,
        room_name: &'a str,
        organization_id: u64,
        invited_users: &'a [UserId],
        chat_room: &'a Room,
    },
    Typing {
        room_id: RoomId,
        user_id: &'a str,
        name: &'a str,
    },
    StopTyping {
        room_id: RoomId,
        user_id: &'a str,
        name: &'a str,
    },
    MessageRead {
        room_id: RoomId,
        user_id: &'a str,
        read_seq: u64,
    },
}

impl Event<'_> {
    /// The names of all events.
    pub const NAMES: &'static [&'static str] = Self::VARIANTS;
}

/// The answer to one frame, for the socket that sent it.
#[derive(Clone, Debug, Serialize)]
pub struct Answer<'a> {
    /// The result.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The client's own `ref`, as it was in the frame.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'a Value>,
}

/// The result of a frame.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "camelCase")]
pub enum Outcome {
    /// Success: what REST answers for the same act, with `roomId` and `seq`.
    Ack(Value),
    /// Failure: a problem (`docs/contract.md`, "The problem object").
    Error(Value),
    /// The answer to `ping`: `{time}`.
    Pong(Value),
    /// The answer to `sync`.
    Sync(Value),
}
