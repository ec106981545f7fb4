//! A message that somebody wants to send, as it was requested (`docs/contract.md`, "Messages").

use crate::base::fields::{Fields, Flag, Missing, Read};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::sha256::sha256;
use crate::base::user::User;
use crate::messages::message::{ClientMessageId, Content, MessageId};
use crate::rooms::room::RoomKind;
use crate::{Error, Result};

/// A message to send.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Draft {
    pub room_id: RoomId,
    /// The only kind of room that the endpoint accepts; `None` for all kinds.
    pub only: Option<RoomKind>,
    pub content: Content,
    pub client_message_id: Option<ClientMessageId>,
    pub is_encrypted: bool,
    pub reply_to: Option<MessageId>,
    pub user_id: Option<UserId>,
}

impl Read for Draft {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Self::read_for(fields, "roomId", None)
    }
}

impl Draft {
    /// Reads a message for the room that the field `room` names. The endpoint may accept only one kind of
    /// room.
    ///
    /// # Errors
    /// [`Missing`] when a field could not be read.
    pub fn read_for(
        fields: &mut Fields,
        room: &str,
        only: Option<RoomKind>,
    ) -> std::result::Result<Self, Missing> {
        let room_id = fields.required(room);
        let words = Words::read_in(fields, room_id.as_ref().ok().copied());
        let user_id = fields.optional("userId");
        Ok(Self { only, user_id: user_id?, ..Self::of(room_id?, words?) })
    }

    /// Makes a draft of these words for a room of any kind.
    pub(crate) fn of(room_id: RoomId, words: Words) -> Self {
        let Words { content, client_message_id, is_encrypted, reply_to } = words;
        Self { room_id, only: None, content, client_message_id, is_encrypted, reply_to, user_id: None }
    }

    /// Hashes what must be the same when a `clientMessageId` is used again. Each part has a fixed length
    /// or is preceded by its length, so that no two drafts yield the same text.
    pub(crate) fn body_hash(&self) -> Vec<u8> {
        let content = self.content.as_str().as_bytes();
        sha256(&[
            &(content.len() as u64).to_be_bytes(),
            content,
            &[u8::from(self.is_encrypted)],
            &self.reply_to.map_or(0, |reply_to| reply_to.seq).to_be_bytes(),
        ])
    }
}

/// The words of a message whose room may not be known yet.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Words {
    pub content: Content,
    pub client_message_id: Option<ClientMessageId>,
    pub is_encrypted: bool,
    pub reply_to: Option<MessageId>,
}

impl Words {
    /// Reads the words. If the room is known, `replyTo` must name a message in it.
    ///
    /// # Errors
    /// [`Missing`] when a field could not be read.
    pub(crate) fn read_in(
        fields: &mut Fields,
        room_id: Option<RoomId>,
    ) -> std::result::Result<Self, Missing> {
        let content = fields.required("content");
        let client_message_id = fields.optional("clientMessageId");
        let is_encrypted = fields.optional("isEncrypted");
        let reply_to = fields.optional::<MessageId>("replyTo");
        if let (Some(room_id), Ok(Some(reply_to))) = (room_id, &reply_to)
            && reply_to.room_id != room_id
        {
            fields.wrong("replyTo", "must be a message of the same room");
        }
        Ok(Self {
            content: content?,
            client_message_id: client_message_id?,
            is_encrypted: is_encrypted?.is_some_and(|Flag(encrypted)| encrypted),
            reply_to: reply_to?,
        })
    }

    /// Makes a draft of these words for a room of any kind.
    ///
    /// # Errors
    /// A 400 for a `replyTo` of another room.
    pub(crate) fn in_room(self, room_id: RoomId) -> Result<Draft> {
        if self.reply_to.is_some_and(|reply_to| reply_to.room_id != room_id) {
            return Err(Error::invalid("replyTo", "must be a message of the same room"));
        }
        Ok(Draft::of(room_id, self))
    }
}

/// The sender: a signed-in user, or the user of a socket.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// Sends over REST. The session was already looked up.
    User(&'a User),
    /// Sends a frame. The transaction that stores the message looks up the socket, so that a revoked session
    /// or a removed member is refused at once.
    Socket(&'a ConnectionId),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_id_names_a_room_and_a_place() {
        let id: MessageId = serde_json::from_value(json!("12-7")).unwrap();
        assert_eq!(id, MessageId { room_id: RoomId(12), seq: 7 });
        assert_eq!(serde_json::to_value(id).unwrap(), json!("12-7"));
        for bad in [json!("message-123"), json!("12"), json!("-7"), json!("12-"), json!("+1-2"), json!(12)] {
            assert!(serde_json::from_value::<MessageId>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn drafts_that_differ_have_different_hashes() {
        let draft = |content: &str, encrypted, reply: Option<&str>| {
            Fields::parse::<Draft>(
                json!({"roomId": 1, "content": content, "isEncrypted": encrypted, "replyTo": reply}),
            )
            .unwrap()
            .body_hash()
        };
        let all = [
            draft("a", false, None),
            draft("a", true, None),
            draft("a", false, Some("1-1")),
            draft("b", false, None),
        ];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash));
        }
        assert_eq!(all[0], draft("a", false, None));
    }
}
