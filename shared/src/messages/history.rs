//! The history of a room, page by page (`get-chat`), and a message of it (`get-message`; `docs/contract.md`, "Lists").

use std::vec;

use mysql_async::prelude::FromRow;
use mysql_async::{Row, params};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::base::db::Db;
use crate::base::fields::{Fields, Request, WholeNumber};
use crate::base::ids::RoomId;
use crate::base::user::User;
use crate::error::Thing;
use crate::messages::message::message_columns;
use crate::messages::message::{Message, MessageId, MessageRow, NamedMessage};
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
    /// The numbers around this one. It stands alone.
    pub around: Option<WholeNumber>,
    /// The most messages of the page.
    #[serde(deserialize_with = "limit")]
    pub limit: u64,
}

/// The most messages of one page.
const MOST: u64 = 200;
/// The most bytes of the messages of one page. With everything around them, the answer stays below 2 MB.
pub(super) const MOST_BYTES: usize = 2_000_000 - 100;

impl Request for HistoryRange {
    fn check(fields: &mut Fields) {
        if fields.has("around") && (fields.has("before") || fields.has("after")) {
            fields.wrong("around", "must be left out beside `before` and `after`");
        }
    }
}

/// Reads how many messages a page may have: 50 unless it says another number, up to [`MOST`].
pub(super) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
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
    /// Whether there are more messages in the direction of the page, or in one of the two.
    pub has_more: bool,
    /// Whether there are older messages. `None` for a page that leads to newer ones.
    pub has_older: Option<bool>,
    /// Whether there are newer messages. `None` for a page that leads to older ones.
    pub has_newer: Option<bool>,
    /// The room's newest number.
    pub last_seq: u64,
}

/// Selects the numbers of messages that follow each other.
///
/// The comparison with `updated_seq`, which is always true, needs more than the key: with statistics of an empty table
/// MySQL would otherwise scan the whole index.
macro_rules! numbers {
    ($condition:literal, $direction:literal, $limit:literal) => {
        concat!(
            "SELECT p.seq FROM messages p FORCE INDEX (PRIMARY)
             WHERE p.room_id = :room_id AND ",
            $condition,
            " AND p.updated_seq >= p.seq ORDER BY p.seq ",
            $direction,
            " LIMIT ",
            $limit
        )
    };
}

/// Selects the page with these numbers. The room's row is always returned, so that one
/// statement both checks whether the asker may read and reads.
///
/// The page is first a list of numbers, and only then the messages: a temporary table with their texts would
/// be on disk, and so would a sort of them. So the rows come in any order.
macro_rules! page {
    ($($numbers:tt)+) => {
        concat!(
            "SELECT r.last_seq, m.user_id IS NOT NULL AS is_member, ",
            message_columns!("m.user_id"),
            " FROM rooms r
             LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :user_id
             LEFT JOIN (",
            $($numbers)+,
            ") page ON m.user_id IS NOT NULL
             LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = r.id AND x.seq = page.seq
             LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id
             WHERE r.id = :room_id AND r.organization_id = :organization_id
               AND (:only IS NULL OR r.kind = :only)"
        )
    };
}
const OLDEST_FIRST: &str = page!(numbers!("p.seq > :after AND p.seq < :before", "ASC", ":newer"));
const NEWEST_FIRST: &str = page!(numbers!("p.seq > :after AND p.seq < :before", "DESC", ":older"));
const AROUND: &str = page!(concat!(
    "SELECT older.seq FROM (",
    numbers!("p.seq <= :around", "DESC", ":older"),
    ") older UNION ALL SELECT newer.seq FROM (",
    numbers!("p.seq > :around", "ASC", ":newer"),
    ") newer"
));

/// The messages in one direction, the nearest first.
struct Side {
    rest: vec::IntoIter<Message>,
    /// How many more the page takes of them.
    left: u64,
    taken: Vec<Message>,
    /// Whether one was not taken.
    has_more: bool,
    is_done: bool,
}

impl Side {
    fn new(messages: Vec<Message>, most: u64) -> Self {
        Self { rest: messages.into_iter(), left: most, taken: Vec::new(), has_more: false, is_done: false }
    }

    /// Takes the next message, if it fits into these bytes.
    fn take(&mut self, bytes: &mut usize) -> Result<()> {
        let Some(message) = self.rest.next() else {
            self.is_done = true;
            return Ok(());
        };
        let size = serde_json::to_vec(&message).map_err(Error::internal)?.len() + 1;
        if self.left == 0 || size > *bytes {
            (self.has_more, self.is_done) = (true, true);
        } else {
            self.left -= 1;
            *bytes -= size;
            self.taken.push(message);
        }
        Ok(())
    }
}

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
    // The statement, how many older and newer messages it may return, and the number between them.
    let (sql, older, newer, center) = match (page.around, page.after) {
        (Some(WholeNumber(around)), _) => (AROUND, page.limit.div_ceil(2), page.limit / 2, around),
        (None, Some(_)) => (OLDEST_FIRST, 0, page.limit, 0),
        (None, None) => (NEWEST_FIRST, page.limit, 0, u64::MAX),
    };
    let rows: Vec<Row> = db
        .rows(
            sql,
            params! {
                room_id,
                only,
                "user_id" => &asker.user_id,
                "organization_id" => asker.organization_id,
                "after" => page.after.map_or(0, |WholeNumber(seq)| seq),
                "before" => page.before.map_or(u64::MAX, |WholeNumber(seq)| seq),
                "around" => center,
                // One extra row shows whether there are more.
                "older" => older + 1,
                "newer" => newer + 1,
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
    let after_center = found.split_off(found.partition_point(|message| message.seq <= center));
    found.reverse();
    let (mut older, mut newer) = (Side::new(found, older), Side::new(after_center, newer));
    let mut bytes = MOST_BYTES;
    while !older.is_done || !newer.is_done {
        for side in [&mut older, &mut newer] {
            if !side.is_done {
                side.take(&mut bytes)?;
            }
        }
    }
    let mut messages = older.taken;
    messages.reverse();
    messages.append(&mut newer.taken);
    Ok(History {
        messages,
        has_more: older.has_more || newer.has_more,
        has_older: (page.around.is_some() || page.after.is_none()).then_some(older.has_more),
        has_newer: (page.around.is_some() || page.before.is_none()).then_some(newer.has_more),
        last_seq,
    })
}

/// Selects one message. The room's row comes even without it, so that the statement also checks whether the asker may
/// read.
const ONE_MESSAGE: &str = concat!(
    "SELECT m.user_id IS NOT NULL AS is_member, ",
    message_columns!("m.user_id"),
    " FROM rooms r
     LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :user_id
     LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = r.id AND x.seq = :seq AND m.user_id IS NOT NULL
     LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id
     WHERE r.id = :room_id AND r.organization_id = :organization_id"
);

/// Returns a message in its present state to a member of its room.
///
/// # Errors
/// [`Error::NotFound`], and [`Error::NotAMember`] before anything is said about the message.
pub async fn message(db: &Db, asker: &User, message: NamedMessage) -> Result<Message> {
    let MessageId { room_id, seq } = message.id()?;
    let params = params! {
        room_id, seq, "user_id" => &asker.user_id, "organization_id" => asker.organization_id
    };
    let row: Option<Row> = db.first(ONE_MESSAGE, params).await?;
    let row = row.ok_or(Error::NotFound(Thing::Message))?;
    if !row.get("is_member").unwrap_or(false) {
        return Err(Error::NotAMember);
    }
    match row.get::<Option<u64>, _>("seq").flatten() {
        Some(_) => Ok(MessageRow::from_row_opt(row).map_err(Error::internal)?.message()),
        None => Err(Error::NotFound(Thing::Message)),
    }
}
