//! What the service sends on a socket (`docs/contract.md`, "Pushes" and "Frames").

use std::ops::RangeInclusive;

use chrono::NaiveDateTime;
use serde::Serialize;
use serde_json::Value;
use strum::VariantNames;

use crate::base::ids::{RoomId, UserId};
use crate::base::time;
use crate::base::tokens::IssuedToken;
use crate::messages::message::{Message, MessageId, Reaction};
use crate::people::friends::FriendRequest;
use crate::people::presence::Shown;
use crate::people::settings::Settings;
use crate::rooms::invitations::InvitationId;
use crate::rooms::preferences::Preferences;
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
        member_count: u32,
        #[serde(serialize_with = "time::serialize")]
        created_at: NaiveDateTime,
        room: &'a Room,
    },
    UserLeft {
        room_id: RoomId,
        seq: u64,
        user_id: &'a str,
        name: &'a str,
        removed: bool,
        member_count: u32,
        #[serde(serialize_with = "time::serialize")]
        created_at: NaiveDateTime,
    },
    RemovedFromRoom {
        room_id: RoomId,
    },
    RoomDeleted {
        room_id: RoomId,
    },
    RoomUpdated {
        room_id: RoomId,
        seq: u64,
        user_id: &'a str,
        name: &'a str,
        room: &'a Room,
        #[serde(serialize_with = "time::serialize")]
        created_at: NaiveDateTime,
    },
    OwnerChanged {
        room_id: RoomId,
        seq: u64,
        user_id: &'a str,
        name: &'a str,
        previous_user_id: &'a str,
        #[serde(serialize_with = "time::serialize")]
        created_at: NaiveDateTime,
    },
    MembershipUpdated {
        room_id: RoomId,
        membership: &'a Preferences,
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
    Closing {
        reason: ClosingReason,
        reconnect: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<u32>,
    },
    FriendRequest {
        friend_request: &'a FriendRequest,
    },
    FriendRequestAnswered {
        friend_request: &'a FriendRequest,
    },
    FriendRequestWithdrawn {
        friend_request: &'a FriendRequest,
    },
    Presence {
        user_id: &'a str,
        online: bool,
    },
    UserUpdated {
        user: &'a Shown,
    },
    SettingsUpdated {
        settings: &'a Settings,
    },
    ReceiveMessage {
        room_id: RoomId,
        seq: u64,
        message: &'a Message,
        /// Only with the first message of a room that its members do not know yet.
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a Room>,
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
        message: &'a Message,
    },
    MessageReaction {
        room_id: RoomId,
        seq: u64,
        message_id: MessageId,
        user_id: &'a str,
        reaction: &'a Reaction,
        removed: bool,
        message: &'a Message,
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

    /// Tells a socket why it is closed next, and whether and when its client should open another one.
    pub fn closing(reason: ClosingReason) -> Self {
        let after_ms = match reason {
            // Otherwise all clients would come back at once.
            ClosingReason::ServerRestart => Some(rand::random_range(RESTART_MS)),
            ClosingReason::TooManySockets | ClosingReason::UnknownSocket => None,
        };
        Event::Closing { reason, reconnect: reason.lets_reconnect(), after_ms }
    }
}

/// In how many milliseconds after a server has stopped its clients come back.
const RESTART_MS: RangeInclusive<u32> = 1000..=5000;

/// Why the service closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClosingReason {
    /// Its user has opened too many others. If its client opened another one, that would close the next.
    TooManySockets,
    /// The service does not know it, or not any more.
    UnknownSocket,
    /// The server that holds it stops.
    ServerRestart,
}

impl ClosingReason {
    /// Whether the client should open another socket by itself.
    pub(crate) fn lets_reconnect(self) -> bool {
        self != Self::TooManySockets
    }
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
