//! The events that clients send (`docs/contract.md`, "WebSocket").

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::Error;

/// An event that a client sends, named in a frame's `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's event of its name")]
pub enum ClientEvent {
    JoinRoom,
    LeaveRoom,
    SendMessage,
    SendMessages,
    EditMessage,
    DeleteMessage,
    Typing,
    StopTyping,
    ReactMessage,
    ReadMessage,
    NewChatRoom,
    CreateGroup,
    JoinGroup,
    GroupMessage,
    SendFile,
    Sync,
    Ping,
}

/// Who may send an event about a room. The SQL of each act enforces it, and the tests check every event
/// against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Every user, about things of their own.
    Anyone,
    /// Every user in the room's organization.
    Organization,
    /// The members of the room.
    Member,
    /// The sender of the message.
    Sender,
    /// The sender of the message, or the room's owner and moderators.
    SenderOrModerator,
    /// The user who uploaded the file.
    Uploader,
    /// The organization's admins and moderators.
    ChannelMaker,
}

/// How an event is answered when it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// `ack`.
    Ack,
    /// `ack`, if the frame has a `ref`. Otherwise there is no answer, even when the event fails.
    AckOnRequest,
    /// `sync`.
    Sync,
    /// `pong`.
    Pong,
}

impl ClientEvent {
    /// All events, in the order of the contract.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the event of this name.
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the event's name in a frame.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns who may send the event.
    pub fn permission(self) -> Permission {
        match self {
            Self::Ping | Self::Sync | Self::CreateGroup => Permission::Anyone,
            Self::JoinRoom => Permission::Organization,
            Self::LeaveRoom
            | Self::SendMessage
            | Self::SendMessages
            | Self::GroupMessage
            | Self::JoinGroup
            | Self::Typing
            | Self::StopTyping
            | Self::ReactMessage
            | Self::ReadMessage => Permission::Member,
            Self::EditMessage => Permission::Sender,
            Self::DeleteMessage => Permission::SenderOrModerator,
            Self::SendFile => Permission::Uploader,
            Self::NewChatRoom => Permission::ChannelMaker,
        }
    }

    /// Returns how the event is answered.
    pub fn answered_by(self) -> AnsweredBy {
        match self {
            Self::Typing | Self::StopTyping | Self::ReadMessage => AnsweredBy::AckOnRequest,
            Self::Sync => AnsweredBy::Sync,
            Self::Ping => AnsweredBy::Pong,
            _ => AnsweredBy::Ack,
        }
    }

    /// Returns whether a frame without a `ref` gets no answer.
    pub fn is_answered_on_request(self) -> bool {
        self.answered_by() == AnsweredBy::AckOnRequest
    }

    /// Returns the error for a frame that names no known event.
    pub fn unknown() -> Error {
        let mut names: Vec<_> = Self::ALL.iter().map(|event| event.name()).collect();
        let last = names.pop().unwrap_or_default();
        Error::invalid("event", format!("must be one of {} and {last}", names.join(", ")))
    }
}
