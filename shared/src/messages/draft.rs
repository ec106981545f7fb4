//! Messages that somebody wants to send, as they were requested (`docs/contract.md`, "Messages" and "Sending several
//! messages").

use std::collections::BTreeSet;

use crate::base::fields::{Fields, Flag, Missing, Read};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::sha256::sha256;
use crate::base::user::User;
use crate::messages::mentions::Mentions;
use crate::messages::message::{ClientMessageId, Content, MessageId};
use crate::rooms::room::RoomKind;
use crate::{Error, Result};

/// The most messages of one request.
pub const MOST: usize = 20;

/// One or several messages to send to one room. They are stored together and in this order, or not at all.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Draft {
    pub room_id: RoomId,
    /// The only kind of room that the endpoint accepts; `None` for all kinds.
    pub only: Option<RoomKind>,
    pub messages: Vec<Words>,
    /// Whether the request had a list of messages.
    pub is_list: bool,
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
        Self { room_id, only: None, messages: vec![words], is_list: false, user_id: None }
    }

    /// Returns the name of a field of the message at this place, as an error names it.
    pub(crate) fn field(&self, place: usize, name: &str) -> String {
        if self.is_list { format!("messages.{place}.{name}") } else { name.to_owned() }
    }
}

/// A request to send several messages at once.
#[derive(Clone, Debug)]
pub struct DraftList(pub Draft);

impl Read for DraftList {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = fields.required("roomId");
        let known = room_id.as_ref().ok().copied();
        let messages = fields.objects("messages", 1..=MOST, |fields| Words::read_in(fields, known));
        if let Ok(messages) = &messages {
            check_ids(fields, messages);
        }
        let user_id = fields.optional("userId");
        Ok(Self(Draft {
            room_id: room_id?,
            only: None,
            messages: messages?,
            is_list: true,
            user_id: user_id?,
        }))
    }
}

/// Notes which messages have no `clientMessageId` though others have one, and which have that of an earlier one: the
/// request could not be repeated.
fn check_ids(fields: &mut Fields, messages: &[Words]) {
    let is_repeatable = messages.iter().any(|words| words.client_message_id.is_some());
    let mut ids = BTreeSet::new();
    for (place, words) in messages.iter().enumerate() {
        let wrong = match &words.client_message_id {
            None if is_repeatable => "is required, because other messages have one",
            Some(id) if !ids.insert(id) => "must be another one than that of an earlier message",
            _ => continue,
        };
        fields.wrong(format!("messages.{place}.clientMessageId"), wrong);
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
    pub mentions: Mentions,
    pub mentions_all: bool,
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
        let mentions = fields.optional::<Mentions>("mentions");
        let mentions_all = fields.optional("mentionsAll");
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
            mentions: mentions?.unwrap_or_default(),
            mentions_all: mentions_all?.is_some_and(|Flag(all)| all),
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

    /// Hashes what must be the same when a `clientMessageId` is used again. Each part has a fixed length
    /// or is preceded by its length, so that no two messages yield the same text. Without mentions it is the text of the
    /// time when there were none.
    pub(crate) fn body_hash(&self) -> Vec<u8> {
        let content = self.content.as_str().as_bytes();
        let (length, is_encrypted) = ((content.len() as u64).to_be_bytes(), [u8::from(self.is_encrypted)]);
        let reply_to = self.reply_to.map_or(0, |reply_to| reply_to.seq).to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&length, content, &is_encrypted, &reply_to];
        if self.mentions_all {
            parts.push(b"*");
        }
        // A `userId` has no spaces.
        parts.extend(self.mentions.0.iter().flat_map(|user_id| [user_id.as_str().as_bytes(), b" "]));
        sha256(&parts)
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
            .messages[0]
                .body_hash()
        };
        let mentioning = |mentions: serde_json::Value, all: bool| {
            let draft = json!({"roomId": 1, "content": "a", "mentions": mentions, "mentionsAll": all});
            Fields::parse::<Draft>(draft).unwrap().messages[0].body_hash()
        };
        let all = [
            draft("a", false, None),
            draft("a", true, None),
            draft("a", false, Some("1-1")),
            draft("b", false, None),
            mentioning(json!(["ann", "bob"]), false),
            mentioning(json!(["annbob"]), false),
            mentioning(json!([]), true),
            mentioning(json!(["ann"]), true),
        ];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash));
        }
        assert_eq!(all[0], draft("a", false, None));
        assert_eq!(all[0], mentioning(json!(null), false));
    }

    #[test]
    fn everything_wrong_with_a_list_is_named() {
        let wrong = |messages: serde_json::Value| {
            let Err(Error::InvalidRequest(wrong)) =
                Fields::parse::<DraftList>(json!({"roomId": 1, "messages": messages}))
            else {
                panic!("must be refused");
            };
            wrong.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        for wrongly in [json!(null), json!([]), json!({}), json!(vec![json!({"content": "x"}); MOST + 1])] {
            assert_eq!(wrong(wrongly.clone()), ["messages"], "{wrongly}");
        }
        assert_eq!(
            wrong(json!([{"content": "x"}, {"content": "", "replyTo": "2-1"}, 7])),
            ["messages.1.content", "messages.1.replyTo", "messages.2"]
        );
        let ids = [json!("a"), json!(null), json!("b"), json!("a")];
        let messages: Vec<_> = ids.iter().map(|id| json!({"content": "x", "clientMessageId": id})).collect();
        assert_eq!(wrong(json!(messages)), ["messages.1.clientMessageId", "messages.3.clientMessageId"]);
    }
}
