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

/// Who may send an event about a room. The statements of each act enforce it; the tests hold every event
/// against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody, about things of their own.
    Anyone,
    /// Everybody of the room's organization.
    Organization,
    /// The members of the room.
    Member,
    /// The sender of the message.
    Sender,
    /// The sender of the message, and the room's owner and moderators.
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
    /// `ack`, if the frame has a `ref`; otherwise not at all, even when it fails.
    AckOnRequest,
    /// `sync`.
    Sync,
    /// `pong`.
    Pong,
}

impl ClientEvent {
    /// All events, in the contract's order.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The event of this name.
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Its name in a frame.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Who may send it.
    pub fn permission(self) -> Permission {
        match self {
            Self::Ping | Self::Sync | Self::CreateGroup => Permission::Anyone,
            Self::JoinRoom => Permission::Organization,
            Self::LeaveRoom
            | Self::SendMessage
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

    /// How it is answered.
    pub fn answered_by(self) -> AnsweredBy {
        match self {
            Self::Typing | Self::StopTyping | Self::ReadMessage => AnsweredBy::AckOnRequest,
            Self::Sync => AnsweredBy::Sync,
            Self::Ping => AnsweredBy::Pong,
            _ => AnsweredBy::Ack,
        }
    }

    /// Whether a frame without a `ref` gets no answer.
    pub fn is_answered_on_request(self) -> bool {
        self.answered_by() == AnsweredBy::AckOnRequest
    }

    /// The refusal of a frame that names no event.
    pub fn unknown() -> Error {
        let mut names: Vec<_> = Self::ALL.iter().map(|event| event.name()).collect();
        let last = names.pop().unwrap_or_default();
        Error::invalid("event", format!("must be one of {} and {last}", names.join(", ")))
    }
}
