//! What a message is: its id, its shape and its row (`docs/contract.md`, "Messages").

use std::collections::BTreeSet;

use chrono::NaiveDateTime;
use mysql_async::prelude::FromRow;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strum::{EnumString, IntoStaticStr};
use unicode_segmentation::UnicodeSegmentation;

use crate::base::db::text_column;
use crate::base::fields;
use crate::base::file_type::FileType;
use crate::base::ids::{RoomId, UploadId, UserId};
use crate::base::pictures::Looks;
use crate::base::text::{hidden, is_blank, line, lines, look, text_type};
use crate::base::time;
use crate::error::Thing;
use crate::{Error, Result};

/// The most bytes of a reaction. The longest emoji that is recommended for general interchange has 35
/// (Unicode Technical Standard 51, `emoji-test.txt`).
const MOST_BYTES: usize = 64;

/// The id of a message: `"{roomId}-{seq}"` in JSON, the primary key in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId {
    /// The room.
    pub room_id: RoomId,
    /// The message's number in it.
    pub seq: u64,
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&fields::string(deserializer)?)
            .ok_or_else(|| de::Error::custom("must be a messageId, like \"12-7\""))
    }
}

impl MessageId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (room_id, seq) = text.split_once('-')?;
        Some(Self { room_id: RoomId(number(room_id)?), seq: number(seq)? })
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}-{}", self.room_id.0, self.seq))
    }
}

/// A message that a client names to act on it. An id that no service could have given, like
/// `message-123`, is unknown rather than malformed (`docs/contract.md`, "Slips of the seeds"; the rule is
/// in "Ids, times and text").
#[derive(Clone, Copy, Debug)]
pub struct NamedMessage(Option<MessageId>);

impl NamedMessage {
    /// Returns its id.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not the id of a message.
    pub fn id(self) -> Result<MessageId> {
        self.0.ok_or(Error::NotFound(Thing::Message))
    }
}

impl<'de> Deserialize<'de> for NamedMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fields::string_or_number(deserializer).map(|text| Self(MessageId::parse(&text)))
    }
}

text_type!(
    /// The text of a message: 1 to 8,000 characters.
    Content, |content| lines(content, 1..=8000)
);

text_type!(
    /// A client's own id for a message, which makes sending repeatable: 1 to 64 characters.
    ClientMessageId, |id| line(id, 1..=64)
);

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MessageKind {
    /// A text that a user sent.
    Text,
    /// A file that a user sent.
    File,
    /// A join, a leave or a removal. `content` says which
    /// ([`MembershipChange`](super::system::MembershipChange)).
    System,
}

text_column!(MessageKind);

/// A message as clients see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Message {
    pub message_id: MessageId,
    pub room_id: RoomId,
    pub seq: u64,
    pub updated_seq: u64,
    pub kind: MessageKind,
    pub user_id: UserId,
    pub name: String,
    pub content: String,
    pub is_encrypted: bool,
    pub client_message_id: Option<ClientMessageId>,
    pub reply_to: Option<MessageId>,
    pub quoted: Option<Quoted>,
    pub reply_count: u64,
    pub mentions: Vec<UserId>,
    pub mentions_all: bool,
    pub attachment: Option<Attachment>,
    pub reactions: Vec<Given>,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    #[serde(serialize_with = "time::serialize_optional")]
    pub edited_at: Option<NaiveDateTime>,
    pub deleted: bool,
}

/// A message as the replies to it show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Quoted {
    pub message_id: MessageId,
    pub user_id: UserId,
    pub name: String,
    pub kind: MessageKind,
    pub content: String,
    pub is_encrypted: bool,
    pub deleted: bool,
}

impl Quoted {
    /// Reads the message of this room that a column of `quoted!` selects.
    pub(crate) fn stored(room_id: RoomId, column: &str) -> Option<Self> {
        let (seq, user_id, name, kind, content, is_encrypted, deleted): (_, _, _, String, _, u8, u8) =
            serde_json::from_str(column).ok()?;
        Some(Self {
            message_id: MessageId { room_id, seq },
            user_id: UserId::stored(user_id),
            name,
            kind: kind.parse().ok()?,
            content,
            is_encrypted: is_encrypted != 0,
            deleted: deleted != 0,
        })
    }
}

/// SQL for what [`Quoted`] shows of the message at this place, or NULL. `$room_id` and `$seq` are SQL.
macro_rules! quoted {
    ($room_id:literal, $seq:literal) => {
        concat!(
            "(SELECT JSON_ARRAY(q.seq, q.sender_id, w.name, q.kind, LEFT(q.content, 200), q.is_encrypted + 0,
                                IF(q.deleted_at IS NULL, 0, 1))
              FROM messages q FORCE INDEX (PRIMARY)
              STRAIGHT_JOIN users w FORCE INDEX (PRIMARY) ON w.user_id = q.sender_id
              WHERE q.room_id = ",
            $room_id,
            " AND q.seq = ",
            $seq,
            ")"
        )
    };
}
pub(crate) use quoted;

/// A file as shown in a message.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Attachment {
    pub upload_id: UploadId,
    pub file_name: String,
    #[serde(rename = "type")]
    pub file_type: FileType,
    pub size: u64,
    pub url: String,
    /// The size of an image in pixels, as it is shown.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub thumbnail_url: Option<String>,
}

impl Attachment {
    /// Reads the file of a message from the column that `message_columns!` selects.
    pub(crate) fn stored(column: &str) -> Option<Self> {
        type Column = (String, String, FileType, u64, Option<u32>, Option<u32>, Option<FileType>);
        let (upload_id, file_name, file_type, size, width, height, thumbnail): Column =
            serde_json::from_str(column).ok()?;
        let looks = Looks { size: width.zip(height), thumbnail };
        Some(Self::new(UploadId::stored(upload_id), file_name, file_type, size, looks))
    }

    pub(crate) fn new(
        upload_id: UploadId,
        file_name: String,
        file_type: FileType,
        size: u64,
        looks: Looks,
    ) -> Self {
        let url = format!("/uploads/{upload_id}");
        let thumbnail_url = looks.thumbnail.map(|_| format!("{url}?as=thumbnail"));
        let (width, height) = looks.size.unzip();
        Self { upload_id, file_name, file_type, size, url, width, height, thumbnail_url }
    }
}

text_type!(
    /// A reaction: one character as people see it (Unicode's extended grapheme cluster) of at most 64
    /// bytes, which can be seen and hides nothing.
    Reaction, |text| {
        let text = line(text, 1..=MOST_BYTES).unwrap_or_default();
        let is_one = text.graphemes(true).count() == 1 && !is_blank(&text) && hidden(&text).is_none();
        if is_one && text.len() <= MOST_BYTES {
            Ok(text)
        } else {
            Err(format!("must be one character as people see it, like 👍, of at most {MOST_BYTES} bytes"))
        }
    }
);

impl Reaction {
    /// Finds this reaction among those of a message. Keyboards spell some reactions in several ways; where a
    /// message has two of them from an earlier version of the service, the exact one is meant.
    pub(crate) fn place_in(&self, all: &[Given]) -> Option<usize> {
        let looks = look(self.as_str());
        let exact = all.iter().position(|given| given.reaction == *self);
        exact.or_else(|| all.iter().position(|given| look(given.reaction.as_str()) == looks))
    }
}

/// All reactions of one kind to a message, as one user sees them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Given {
    pub reaction: Reaction,
    pub count: u64,
    pub mine: bool,
    pub user_ids: Vec<UserId>,
}

/// Reads the users whom a message names from the stored column.
fn stored_mentions(column: Option<&str>) -> Vec<UserId> {
    let user_ids: Vec<String> =
        column.and_then(|column| serde_json::from_str(column).ok()).unwrap_or_default();
    user_ids.into_iter().map(UserId::stored).collect()
}

/// Builds the reactions to a message from the stored column and from the asker's own reactions. These are
/// in hexadecimal digits, which both servers return alike.
pub(crate) fn stored_reactions(all: Option<&str>, own: Option<&str>) -> Vec<Given> {
    let all: Vec<(String, u64, Vec<String>)> =
        all.and_then(|all| serde_json::from_str(all).ok()).unwrap_or_default();
    let own = read_own(own);
    all.into_iter()
        .map(|(reaction, count, user_ids)| Given {
            mine: own.contains(&hex(&reaction)),
            reaction: Reaction::stored(reaction),
            count,
            user_ids: user_ids.into_iter().map(UserId::stored).collect(),
        })
        .collect()
}

pub(crate) fn read_own(own: Option<&str>) -> BTreeSet<String> {
    own.and_then(|own| serde_json::from_str(own).ok()).unwrap_or_default()
}

pub(crate) fn hex(reaction: &str) -> String {
    reaction.bytes().map(|byte| format!("{byte:02X}")).collect()
}

/// The columns of a [`MessageRow`], from `messages x` and its sender `users u`. `$asker` is SQL for the
/// `userId` of the user who sees the message.
macro_rules! message_columns {
    ($asker:literal) => {
        concat!(
            "x.room_id, x.seq, x.updated_seq, x.kind, x.sender_id, u.name, x.content, x.is_encrypted,
             x.client_message_id, x.reply_to_seq, x.created_at, x.edited_at, x.deleted_at, x.reply_count, x.mentions,
             x.mentions_all,
             IF(x.reply_to_seq IS NULL, NULL, ",
            $crate::messages::message::quoted!("x.room_id", "x.reply_to_seq"),
            ") AS quoted,
             IF(x.kind = 'file' AND x.deleted_at IS NULL,
                (SELECT JSON_ARRAY(f.upload_id, f.file_name, f.type, f.size, f.width, f.height, f.thumbnail)
                 FROM uploads f FORCE INDEX (uploads_message)
                 WHERE f.room_id = x.room_id AND f.seq = x.seq), NULL) AS attachment,
             x.reactions,
             IF(x.reactions IS NULL, NULL,
                (SELECT JSON_ARRAYAGG(HEX(g.reaction)) FROM reactions g FORCE INDEX (PRIMARY)
                 WHERE g.room_id = x.room_id AND g.seq = x.seq AND g.user_id = ",
            $asker,
            ")) AS own_reactions"
        )
    };
}
pub(crate) use message_columns;

#[derive(FromRow)]
pub(crate) struct MessageRow {
    room_id: RoomId,
    seq: u64,
    updated_seq: u64,
    kind: MessageKind,
    sender_id: UserId,
    name: String,
    content: String,
    is_encrypted: bool,
    client_message_id: Option<ClientMessageId>,
    reply_to_seq: Option<u64>,
    quoted: Option<String>,
    reply_count: u64,
    mentions: Option<String>,
    mentions_all: bool,
    created_at: NaiveDateTime,
    edited_at: Option<NaiveDateTime>,
    deleted_at: Option<NaiveDateTime>,
    attachment: Option<String>,
    reactions: Option<String>,
    own_reactions: Option<String>,
}

impl MessageRow {
    pub(crate) fn message(self) -> Message {
        let room_id = self.room_id;
        Message {
            message_id: MessageId { room_id, seq: self.seq },
            room_id,
            seq: self.seq,
            updated_seq: self.updated_seq,
            kind: self.kind,
            user_id: self.sender_id,
            name: self.name,
            content: self.content,
            is_encrypted: self.is_encrypted,
            client_message_id: self.client_message_id,
            reply_to: self.reply_to_seq.map(|seq| MessageId { room_id, seq }),
            quoted: self.quoted.as_deref().and_then(|column| Quoted::stored(room_id, column)),
            reply_count: self.reply_count,
            mentions: stored_mentions(self.mentions.as_deref()),
            mentions_all: self.mentions_all,
            attachment: self.attachment.as_deref().and_then(Attachment::stored),
            reactions: stored_reactions(self.reactions.as_deref(), self.own_reactions.as_deref()),
            created_at: self.created_at,
            edited_at: self.edited_at,
            deleted: self.deleted_at.is_some(),
        }
    }
}
