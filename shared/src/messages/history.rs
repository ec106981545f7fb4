//! The history of a room, page by page (`get-chat`; `docs/contract.md`, "Lists").

use mysql_async::prelude::FromRow;
use mysql_async::{Row, params};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::base::db::Db;
use crate::base::fields::{Request, WholeNumber};
use crate::base::ids::RoomId;
use crate::base::user::User;
use crate::error::Thing;
use crate::messages::message::message_columns;
use crate::messages::message::{Message, MessageRow};
use crate::rooms::room::RoomKind;
use crate::{Error, Result};

/// A range of a room's history.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRange {
    /// Only numbers below this one.
    pub before: Option<WholeNumber>,
    /// Only numbers above this one. Without it the page is filled from the newest message back.
    pub after: Option<WholeNumber>,
    /// The most messages of the page.
    #[serde(deserialize_with = "limit")]
    pub limit: u64,
}

/// The most messages of one page.
const MOST: u64 = 200;
/// The most bytes of the messages of one page. With everything around them, the answer stays below 2 MB.
const MOST_BYTES: usize = 2_000_000 - 100;

impl Request for HistoryRange {}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Option::<WholeNumber>::deserialize(deserializer)?.map_or(50, |WholeNumber(limit)| limit) {
        limit if (1..=MOST).contains(&limit) => Ok(limit),
        _ => Err(de::Error::custom(format!("must be 1 to {MOST}"))),
    }
}

/// One page of a room's history.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// In ascending order, whatever the direction of the page.
    pub messages: Vec<Message>,
    /// Whether there are more messages in the direction of the page.
    pub has_more: bool,
    /// The room's newest number.
    pub last_seq: u64,
}

/// Selects the page that begins at one end of a range. The room's row is always returned, so that one
/// statement both checks whether the asker may read and reads.
///
/// The page is first a list of numbers, and only then the messages: a temporary table with their texts would
/// be on disk, and so would a sort of them. So the rows come in any order. The comparison with `updated_seq`, which is
/// always true, needs more than the key: with statistics of an empty table MySQL would otherwise scan the whole index.
macro_rules! page {
    ($direction:literal) => {
        concat!(
            "SELECT r.last_seq, m.user_id IS NOT NULL AS is_member, ",
            message_columns!("m.user_id"),
            " FROM rooms r
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :user_id
             LEFT JOIN (SELECT p.seq FROM messages p FORCE INDEX (PRIMARY)
                        WHERE p.room_id = :room_id AND p.seq > :after AND p.seq < :before
                          AND p.updated_seq >= p.seq
                        ORDER BY p.seq ",
            $direction,
            " LIMIT :limit) page ON m.user_id IS NOT NULL
             LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = r.id AND x.seq = page.seq
             LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id
             WHERE r.id = :room_id AND r.organization_id = :organization_id
               AND (:only IS NULL OR r.kind = :only)"
        )
    };
}
const OLDEST_FIRST: &str = page!("ASC");
const NEWEST_FIRST: &str = page!("DESC");

/// Returns a page of a room's history for its members, who see it from the beginning. `only` is the kind
/// of room that the endpoint accepts.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn read(
    db: &Db,
    asker: &User,
    room_id: RoomId,
    only: Option<RoomKind>,
    page: &HistoryRange,
) -> Result<History> {
    let ascending = page.after.is_some();
    let rows: Vec<Row> = db
        .rows(
            if ascending { OLDEST_FIRST } else { NEWEST_FIRST },
            params! {
                room_id,
                only,
                "user_id" => &asker.user_id,
                "organization_id" => asker.organization_id,
                "after" => page.after.map_or(0, |WholeNumber(seq)| seq),
                "before" => page.before.map_or(u64::MAX, |WholeNumber(seq)| seq),
                "limit" => page.limit + 1,
            },
        )
        .await?;
    let room = rows.first().ok_or(Error::NotFound(Thing::Room))?;
    if !room.get("is_member").unwrap_or(false) {
        return Err(Error::NotAMember);
    }
    let last_seq = room.get("last_seq").unwrap_or(0);

    let is_message = |row: &Row| row.get::<Option<u64>, _>("seq").flatten().is_some();
    let found = rows.into_iter().filter(is_message).map(|row| MessageRow::from_row(row).message());
    let mut found: Vec<Message> = found.collect();
    found.sort_unstable_by_key(|message| message.seq);
    if !ascending {
        found.reverse();
    }
    let mut bytes = 0;
    let mut has_more = false;
    let mut messages = Vec::new();
    for message in found {
        bytes += serde_json::to_vec(&message).map_err(Error::internal)?.len() + 1;
        if messages.len() as u64 == page.limit || bytes > MOST_BYTES {
            has_more = true;
            break;
        }
        messages.push(message);
    }
    if !ascending {
        messages.reverse();
    }
    Ok(History { messages, has_more, last_seq })
}
