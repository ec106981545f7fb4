//! The replies to a message (`list-replies`; `docs/contract.md`, "Replies").

use mysql_async::prelude::FromRow;
use mysql_async::{Row, params};
use serde::{Deserialize, Serialize};

use crate::base::db::Db;
use crate::base::fields::{Request, WholeNumber};
use crate::base::user::User;
use crate::error::Thing;
use crate::messages::history::{MOST_BYTES, limit};
use crate::messages::message::message_columns;
use crate::messages::message::{Message, MessageRow, NamedMessage};
use crate::{Error, Result};

/// A range of the replies to a message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyRange {
    /// Only numbers above this one.
    pub after: Option<WholeNumber>,
    /// The most messages of the page.
    #[serde(deserialize_with = "limit")]
    pub limit: u64,
}

impl Request for ReplyRange {}

/// One page of the replies to a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replies {
    /// The replies, in ascending order.
    pub messages: Vec<Message>,
    /// Whether there are more after them.
    pub has_more: bool,
}

/// The page is first a list of numbers, as in [`history`](super::history). Their times are not used: without a column
/// besides the key, MySQL may read the whole key. The first row always comes, so that one
/// statement both checks whether the asker may read and reads.
const PAGE: &str = concat!(
    "SELECT m.user_id IS NOT NULL AS is_member, a.seq IS NOT NULL AS is_there, ",
    message_columns!("m.user_id"),
    " FROM rooms r FORCE INDEX (PRIMARY)
     LEFT JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = r.id AND m.user_id = :user_id
     LEFT JOIN messages a FORCE INDEX (PRIMARY) ON a.room_id = m.room_id AND a.seq = :seq
     LEFT JOIN (SELECT p.seq, p.created_at FROM messages p FORCE INDEX (messages_replies)
                WHERE p.room_id = :room_id AND p.reply_to_seq = :seq AND p.seq > :after
                ORDER BY p.seq LIMIT :limit) page ON a.seq IS NOT NULL
     LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = r.id AND x.seq = page.seq
     LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id
     WHERE r.id = :room_id AND r.organization_id = :organization_id"
);

/// Returns a page of the replies to a message for a member of its room, the oldest first.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn read(db: &Db, asker: &User, named: NamedMessage, page: &ReplyRange) -> Result<Replies> {
    let id = named.id()?;
    let rows: Vec<Row> = db
        .rows(
            PAGE,
            params! {
                "room_id" => id.room_id,
                "seq" => id.seq,
                "user_id" => &asker.user_id,
                "organization_id" => asker.organization_id,
                "after" => page.after.map_or(0, |WholeNumber(seq)| seq),
                "limit" => page.limit + 1,
            },
        )
        .await?;
    let first = rows.first().ok_or(Error::NotFound(Thing::Message))?;
    if !first.get("is_member").unwrap_or(false) {
        return Err(Error::NotAMember);
    }
    if !first.get("is_there").unwrap_or(false) {
        return Err(Error::NotFound(Thing::Message));
    }
    let is_message = |row: &Row| row.get::<Option<u64>, _>("seq").flatten().is_some();
    let found = rows.into_iter().filter(is_message).map(|row| MessageRow::from_row(row).message());
    let mut found: Vec<Message> = found.collect();
    found.sort_unstable_by_key(|message| message.seq);
    let (mut bytes, mut messages) = (0, Vec::with_capacity(found.len()));
    for message in found {
        bytes += serde_json::to_vec(&message).map_err(Error::internal)?.len() + 1;
        if messages.len() as u64 == page.limit || bytes > MOST_BYTES {
            return Ok(Replies { messages, has_more: true });
        }
        messages.push(message);
    }
    Ok(Replies { messages, has_more: false })
}
