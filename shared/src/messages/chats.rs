//! Chats: the rooms of one user, of every kind (`list-chats`; `docs/contract.md`, "Routes: messages and
//! chats" and "Read positions and unread counts").

use std::cmp::Reverse;

use chrono::NaiveDateTime;
use mysql_async::prelude::FromRow;
use mysql_async::{FromRowError, Row, Value, params};
use serde::Serialize;

use crate::Result;
use crate::base::db::Db;
use crate::base::ids::{RoomId, UserId};
use crate::base::page::{Page, Paged};
use crate::base::user::User;
use crate::messages::message::{Message, MessageRow, message_columns};
use crate::rooms::room::{Room, RoomKind};

/// A room in the list of one of its members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    /// The room's id.
    pub chat_id: RoomId,
    /// The room.
    pub room: Room,
    /// The newest message. It may be a system message or a deleted message.
    pub last_message: Option<Message>,
    /// How many messages of others come after the member's read position, not counting system messages
    /// and deleted ones; 100 means 100 or more.
    pub unread: u64,
    /// The room's newest number.
    pub last_seq: u64,
    /// The member's read position.
    #[serde(skip)]
    read_seq: u64,
}

/// The most unread messages of a room that are counted.
const MOST_UNREAD: u64 = 100;
/// How many numbers of a room are looked at to count them.
const MOST_NUMBERS: u64 = 1000;

/// The rooms of a user, each with its newest message.
///
/// A direct chat has the names that its two users have now, and not those that they had when it began.
///
/// The newest message is the last row of the room's range of the primary key. Both servers would sort the
/// room if the statement did not name the index and the whole of its order.
///
/// The rows come in any order: MariaDB would sort the texts of the messages on disk.
const CHATS: &str = concat!(
    "SELECT counted.total, listed.*,
        IF(listed.room_kind = 'direct',
           (SELECT CONCAT(LEFT(creator.name, 48), ' & ', LEFT(other.name, 48))
            FROM direct_chats d FORCE INDEX (direct_chats_room_id)
            STRAIGHT_JOIN users creator FORCE INDEX (PRIMARY) ON creator.user_id = listed.created_by
            STRAIGHT_JOIN users other FORCE INDEX (PRIMARY)
              ON other.user_id = IF(d.lesser_id = listed.created_by, d.greater_id, d.lesser_id)
            WHERE d.room_id = listed.id),
           listed.stored_name) AS room_name, ",
    message_columns!(":user_id"),
    " FROM (SELECT COUNT(*) AS total FROM room_members FORCE INDEX (room_members_user)
           WHERE user_id = :user_id) counted
     LEFT JOIN (SELECT r.id, r.kind AS room_kind, r.name AS stored_name, r.capacity, r.member_count, r.created_by,
                       r.organization_id, r.last_seq, r.created_at AS room_created_at, r.updated_at, m.read_seq,
                       1 AS is_row
                FROM room_members m FORCE INDEX (room_members_user)
                STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = m.room_id WHERE m.user_id = :user_id
                ORDER BY updated_at DESC, id DESC LIMIT :page_size OFFSET :page_offset) listed ON TRUE
     LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = listed.id AND x.seq =
         (SELECT newest.seq FROM messages newest FORCE INDEX (PRIMARY)
          WHERE newest.room_id = listed.id ORDER BY newest.room_id DESC, newest.seq DESC LIMIT 1)
     LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id"
);

/// Counts the unread messages of one room among those of a range of numbers. The count comes with `{place}`.
/// The server stops at the limit.
const UNREAD: &str = "
    SELECT {place}, COUNT(*) FROM (
        SELECT 1 FROM messages FORCE INDEX (PRIMARY)
        WHERE room_id = ? AND seq > ? AND seq <= ?
          AND sender_id <> ? AND kind <> 'system' AND deleted_at IS NULL LIMIT ?) unread";

/// Returns a page of the rooms that a user is in, the most recently active first.
///
/// # Errors
/// Any error of the database.
pub async fn list(db: &Db, user: &User, page: Page) -> Result<Paged<Chat>> {
    let mut chats: Paged<Chat> = Paged::read(db, CHATS, params! { "user_id" => &user.user_id }, page).await?;
    chats.data.sort_unstable_by_key(|chat| Reverse((chat.room.updated_at, chat.chat_id.0)));
    count_unread(db, user, &mut chats.data).await?;
    Ok(chats)
}

/// Counts the unread messages of these chats. A statement of its own has the bounds of each range as values,
/// without which both servers would read the whole room. The ranges end at the newest numbers of the list, so
/// the counts suit it although more messages may have arrived since.
async fn count_unread(db: &Db, user: &User, chats: &mut [Chat]) -> Result<()> {
    let mut counts = Vec::new();
    let mut params: Vec<Value> = Vec::new();
    for (place, chat) in chats.iter_mut().enumerate() {
        match chat.last_seq.saturating_sub(chat.read_seq) {
            0 => {}
            1..=MOST_NUMBERS => {
                counts.push(UNREAD.replace("{place}", &place.to_string()));
                let range = [chat.chat_id.into(), chat.read_seq.into(), chat.last_seq.into()];
                params.extend(range);
                params.extend([Value::from(&user.user_id), MOST_UNREAD.into()]);
            }
            // The count would stop at so many numbers, if not before.
            _ => chat.unread = MOST_UNREAD,
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let counted: Vec<(usize, u64)> = db.rows(&counts.join(" UNION ALL "), params).await?;
    for (place, unread) in counted {
        chats[place].unread = unread;
    }
    Ok(())
}

/// The room of a [`Chat`], with names that do not clash with those of its message.
#[derive(FromRow)]
struct ChatRow {
    id: RoomId,
    room_kind: RoomKind,
    room_name: String,
    capacity: u32,
    member_count: u32,
    created_by: UserId,
    organization_id: u64,
    last_seq: u64,
    room_created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    read_seq: u64,
}

impl FromRow for Chat {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        // A room without messages yields a row without a message.
        let last_message = match row.get::<Option<u64>, _>("seq").flatten() {
            Some(_) => Some(MessageRow::from_row_opt(row.clone())?.message()),
            None => None,
        };
        let row = ChatRow::from_row_opt(row)?;
        Ok(Self {
            chat_id: row.id,
            room: Room {
                id: row.id,
                kind: row.room_kind,
                name: row.room_name,
                capacity: row.capacity,
                member_count: row.member_count,
                created_by: row.created_by,
                organization_id: row.organization_id,
                last_seq: row.last_seq,
                created_at: row.room_created_at,
                updated_at: row.updated_at,
            },
            last_message,
            unread: 0,
            last_seq: row.last_seq,
            read_seq: row.read_seq,
        })
    }
}
