//! Chats: the rooms of one user, of every kind (`list-chats`; `docs/contract.md`, "Routes: messages and
//! chats" and "Read positions and unread counts").

use chrono::NaiveDateTime;
use mysql_async::prelude::FromRow;
use mysql_async::{FromRowError, Row, params};
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
    /// and deleted ones. At most the newest 100,000 numbers are looked at.
    pub unread: u64,
    /// The room's newest number.
    pub last_seq: u64,
}

/// How many numbers of a room are looked at to count unread messages, from the newest back.
const MOST_UNREAD: u32 = 100_000;

/// The rooms of a user, each with its newest message and the count of unread messages.
///
/// A direct chat has the names that its two users have now, and not those that they had when it began.
///
/// The newest message is the last row of the room's range of the primary key. Both servers would sort the
/// room if the statement did not name the index and the whole of its order.
///
/// Unread messages are counted over the numbers from the last back to the read position, and each number
/// is looked up by the primary key. With `seq > read_seq`, a separate range for each room, both servers
/// would read the whole room. For too many numbers the text would exceed `max_allowed_packet` and become
/// NULL.
const CHATS: &str = concat!(
    "SELECT counted.total, listed.*,
        IF(listed.room_kind = 'direct',
           (SELECT CONCAT(LEFT(creator.name, 48), ' & ', LEFT(other.name, 48)) FROM direct_chats d
            JOIN users creator ON creator.user_id = listed.created_by
            JOIN users other ON other.user_id = IF(d.lesser_id = listed.created_by, d.greater_id, d.lesser_id)
            WHERE d.room_id = listed.id),
           listed.stored_name) AS room_name, ",
    message_columns!(":user_id"),
    ",
        (SELECT COUNT(*)
         FROM JSON_TABLE(CONCAT('[0', REPEAT(',0', LEAST(GREATEST(listed.last_seq, listed.read_seq) - listed.read_seq, :most_unread)), ']'),
                         '$[*]' COLUMNS (place FOR ORDINALITY)) number
         STRAIGHT_JOIN messages n ON n.room_id = listed.id AND n.seq = listed.last_seq + 2 - number.place
         WHERE n.sender_id <> :user_id AND n.kind <> 'system' AND n.deleted_at IS NULL) AS unread
     FROM (SELECT COUNT(*) AS total
           FROM room_members m STRAIGHT_JOIN rooms r ON r.id = m.room_id WHERE m.user_id = :user_id) counted
     LEFT JOIN (SELECT r.id, r.kind AS room_kind, r.name AS stored_name, r.capacity, r.member_count, r.created_by,
                       r.organization_id, r.last_seq, r.created_at AS room_created_at, r.updated_at, m.read_seq,
                       1 AS is_row
                FROM room_members m STRAIGHT_JOIN rooms r ON r.id = m.room_id WHERE m.user_id = :user_id
                ORDER BY updated_at DESC, id DESC LIMIT :page_size OFFSET :page_offset) listed ON TRUE
     LEFT JOIN messages x ON x.room_id = listed.id AND x.seq =
         (SELECT newest.seq FROM messages newest FORCE INDEX (PRIMARY)
          WHERE newest.room_id = listed.id ORDER BY newest.room_id DESC, newest.seq DESC LIMIT 1)
     LEFT JOIN users u ON u.user_id = x.sender_id
     ORDER BY listed.updated_at DESC, listed.id DESC"
);

/// Returns a page of the rooms that a user is in, the most recently active first.
///
/// # Errors
/// Any error of the database.
pub async fn list(db: &Db, user: &User, page: Page) -> Result<Paged<Chat>> {
    let params = params! { "user_id" => &user.user_id, "most_unread" => MOST_UNREAD };
    Paged::read(db, CHATS, params, page).await
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
    unread: u64,
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
            unread: row.unread,
            last_seq: row.last_seq,
        })
    }
}
