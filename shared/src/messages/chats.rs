//! Chats: the rooms of one user, of every kind (`list-chats`; `docs/contract.md`, "Routes: messages and
//! chats", "Chats" and "Read positions and unread counts").

use std::cmp::Reverse;
use std::collections::HashMap;

use chrono::NaiveDateTime;
use mysql_async::prelude::FromRow;
use mysql_async::{FromRowError, Row, Value, params};
use serde::Serialize;

use crate::base::fields::{Fields, Missing, Read};
use crate::base::ids::{RoomId, UserId};
use crate::base::page::{NO_PLACE, Page, Place};
use crate::base::source::Source;
use crate::base::time;
use crate::base::user::User;
use crate::messages::chat_profiles;
use crate::messages::message::{Message, MessageRow, message_columns};
use crate::messages::unread::{self, Position, Unread};
use crate::people::profiles::Profile;
use crate::rooms::preferences::Preferences;
use crate::rooms::room::{Room, RoomKind, present_name};
use crate::{Error, Result};

/// A room in the list of one of its members.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    /// The room's id.
    pub chat_id: RoomId,
    /// The room.
    pub room: Room,
    /// The other one of a direct chat.
    pub peer: Option<Profile>,
    /// The first five members of a group, the oldest member first.
    pub members: Option<Vec<Profile>>,
    /// The newest message. It may be a system message or a deleted message.
    pub last_message: Option<Message>,
    /// How many messages of others come after the member's read position, not counting system messages
    /// and deleted ones; 100 means 100 or more.
    pub unread: u64,
    /// How many messages of others after the member's read position mention the member; 100 means 100 or more.
    pub unread_mentions: u64,
    /// The number of the first of these messages, if it is among the 1,000 numbers after the read position.
    pub first_unread_seq: Option<u64>,
    /// The member's read position.
    pub read_seq: u64,
    /// The room's newest number.
    pub last_seq: u64,
    /// What the member chose for the room.
    pub membership: Preferences,
}

impl Chat {
    /// Where the chat stands in the list.
    pub(crate) fn place(&self) -> Place {
        Place::new(time::millis(self.room.updated_at), self.chat_id.0)
    }

    fn position(&self) -> Position {
        let Self { chat_id: room_id, read_seq, last_seq, .. } = *self;
        Position { room_id, read_seq, last_seq, counts_mentions: true }
    }
}

/// A request for a part of the list: a page, or what comes after a chat.
#[derive(Debug)]
pub struct ChatsRequest {
    page: Page,
    after: Option<(NaiveDateTime, RoomId)>,
    kind: Option<RoomKind>,
}

impl Read for ChatsRequest {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let page = Page::read(fields);
        let has_page = fields.has("page");
        let after = fields.optional::<Place>("after");
        let kind = fields.optional("kind");
        let after = match after? {
            None => None,
            Some(Place { number, text }) => match (time::of_millis(number), text.parse()) {
                (Some(updated_at), Ok(room_id)) => Some((updated_at, RoomId(room_id))),
                _ => {
                    fields.wrong("after", NO_PLACE);
                    None
                }
            },
        };
        if after.is_some() && has_page {
            fields.wrong("page", "must be left out beside `after`");
        }
        Ok(Self { page: page?, after, kind: kind? })
    }
}

/// A part of a user's chats.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chats {
    /// The number of chats on all pages.
    pub total: u64,
    /// The number of pages.
    pub pages: u64,
    /// The number of this page; `None` for what comes after a chat.
    pub current_page: Option<u64>,
    /// The chats, the most recently active first; empty after the last page.
    pub data: Vec<Chat>,
    /// The place after which the list goes on; `None` at its end.
    pub next: Option<Place>,
    /// The sum of `unread` over the user's [`MOST_TOTALLED`] most recently active chats of every kind.
    pub unread_total: u64,
}

/// How many chats count for `unreadTotal`.
pub(crate) const MOST_TOTALLED: u64 = 100;

/// Which of a user's chats to select.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) kind: Option<RoomKind>,
    pub(crate) after: Option<(NaiveDateTime, RoomId)>,
    /// Only memberships that have begun since this time.
    pub(crate) joined_since: Option<NaiveDateTime>,
}

/// The rooms of a user, each with its newest message.
///
/// The newest message is the last row of the room's range of the primary key. Both servers would sort the
/// room if the statement did not name the index and the whole of its order.
///
/// The rows come in any order: MariaDB would sort the texts of the messages on disk.
const CHATS: &str = concat!(
    "SELECT counted.total, listed.*, ",
    present_name!("listed", "listed.room_kind", "listed.stored_name"),
    " AS room_name, ",
    message_columns!(":user_id"),
    " FROM (SELECT COUNT(*) AS total FROM room_members m FORCE INDEX (room_members_user)
           STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = m.room_id
           WHERE m.user_id = :user_id AND (:kind IS NULL OR r.kind = :kind)) counted
     LEFT JOIN (SELECT r.id, r.kind AS room_kind, r.name AS stored_name, r.topic, r.slow_mode_seconds,
                       r.capacity, r.member_count, r.created_by,
                       r.organization_id, r.last_seq, r.created_at AS room_created_at, r.updated_at, m.read_seq,
                       m.notifications, m.favorite, m.archived, m.marked_unread,
                       CONCAT('/avatars/', r.avatar_key) AS avatar_url,
                       1 AS is_row
                FROM room_members m FORCE INDEX (room_members_user)
                STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = m.room_id
                WHERE m.user_id = :user_id AND (:kind IS NULL OR r.kind = :kind)
                  AND (:after_time IS NULL OR r.updated_at < :after_time
                       OR (r.updated_at = :after_time AND r.id < :after_room))
                  AND (:joined_since IS NULL OR m.joined_at > :joined_since)
                ORDER BY updated_at DESC, id DESC LIMIT :rows OFFSET :skipped) listed ON TRUE
     LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = listed.id AND x.seq =
         (SELECT newest.seq FROM messages newest FORCE INDEX (PRIMARY)
          WHERE newest.room_id = listed.id ORDER BY newest.room_id DESC, newest.seq DESC LIMIT 1)
     LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id"
);

/// Selects chats, the most recently active first. Returns how many there are of the kind, and the selected ones without
/// their people and unread counts, which [`complete`] adds.
///
/// # Errors
/// The database's.
pub(crate) async fn select(
    source: &mut Source<'_>,
    user: &User,
    selection: Selection,
    most: u64,
    skipped: u64,
) -> Result<(u64, Vec<Chat>)> {
    let Selection { kind, after, joined_since } = selection;
    let rows: Vec<Row> = source
        .rows(
            CHATS,
            params! {
                "user_id" => &user.user_id,
                kind,
                "after_time" => after.map(|(updated_at, _)| updated_at),
                "after_room" => after.map(|(_, room_id)| room_id),
                joined_since,
                "rows" => most,
                skipped,
            },
        )
        .await?;
    let total = rows.first().and_then(|row| row.get("total")).unwrap_or(0);
    // Without any chat there is one row, which holds nothing but the total.
    let is_row = |row: &Row| row.get::<Value, _>("is_row") != Some(Value::NULL);
    let chats = rows.into_iter().filter(is_row).map(|row| Chat::from_row_opt(row).map_err(Error::internal));
    let mut chats = chats.collect::<Result<Vec<_>>>()?;
    chats.sort_unstable_by_key(|chat| Reverse((chat.room.updated_at, chat.chat_id.0)));
    Ok((total, chats))
}

/// Adds their people and unread counts to chats. Returns the unread counts, also after the positions in other rooms.
///
/// # Errors
/// The database's.
pub(crate) async fn complete(
    source: &mut Source<'_>,
    user: &User,
    chats: &mut [Chat],
    others: &[Position],
) -> Result<HashMap<RoomId, Unread>> {
    let mut positions: Vec<Position> = chats.iter().map(Chat::position).collect();
    let is_listed = |room_id: RoomId| chats.iter().any(|chat| chat.chat_id == room_id);
    positions.extend(others.iter().filter(|position| !is_listed(position.room_id)));
    let unread = unread::count(source, &user.user_id, &positions).await?;

    let shows_people = |chat: &&Chat| matches!(chat.room.kind, RoomKind::Direct | RoomKind::Group);
    let rooms: Vec<RoomId> = chats.iter().filter(shows_people).map(|chat| chat.chat_id).collect();
    let mut people = chat_profiles::first_members(source, &user.user_id, &rooms).await?;
    for chat in chats {
        if let Some(unread) = unread.get(&chat.chat_id) {
            (chat.unread, chat.first_unread_seq) = (unread.count, unread.first_seq);
            chat.unread_mentions = unread.mentions;
        }
        let people = people.remove(&chat.chat_id).unwrap_or_default();
        match chat.room.kind {
            RoomKind::Direct => chat.peer = people.into_iter().find(|one| one.user_id != user.user_id),
            RoomKind::Group => chat.members = Some(people),
            RoomKind::Prime | RoomKind::Channel => {}
        }
    }
    Ok(unread)
}

/// Returns a part of the rooms that a user is in, the most recently active first.
///
/// # Errors
/// Any error of the database.
pub async fn list(source: &mut Source<'_>, user: &User, request: &ChatsRequest) -> Result<Chats> {
    let ChatsRequest { page, after, kind } = *request;
    let skipped = if after.is_some() { 0 } else { (page.number - 1).saturating_mul(page.size) };
    let selection = Selection { kind, after, joined_since: None };
    // One more shows whether the list goes on.
    let (total, mut data) = select(source, user, selection, page.size + 1, skipped).await?;
    let goes_on = data.len() as u64 > page.size;
    data.truncate(page.size as usize);
    let newest: Vec<(RoomId, u64, u64)> = source
        .rows(
            "SELECT m.room_id, m.read_seq, r.last_seq FROM room_members m FORCE INDEX (room_members_user)
             STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = m.room_id
             WHERE m.user_id = ? ORDER BY r.updated_at DESC, r.id DESC LIMIT ?",
            (&user.user_id, MOST_TOTALLED),
        )
        .await?;
    let newest = newest.into_iter().map(|(room_id, read_seq, last_seq)| Position {
        room_id,
        read_seq,
        last_seq,
        counts_mentions: false,
    });
    let newest: Vec<Position> = newest.collect();
    let unread = complete(source, user, &mut data, &newest).await?;
    Ok(Chats {
        total,
        pages: total.div_ceil(page.size),
        current_page: after.is_none().then_some(page.number),
        next: if goes_on { data.last().map(Chat::place) } else { None },
        data,
        unread_total: newest.iter().filter_map(|at| unread.get(&at.room_id)).map(|unread| unread.count).sum(),
    })
}

/// The room of a [`Chat`], with names that do not clash with those of its message.
#[derive(FromRow)]
struct ChatRow {
    id: RoomId,
    room_kind: RoomKind,
    room_name: String,
    topic: Option<String>,
    slow_mode_seconds: u32,
    capacity: u32,
    member_count: u32,
    created_by: UserId,
    organization_id: u64,
    last_seq: u64,
    room_created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    avatar_url: Option<String>,
    read_seq: u64,
}

impl FromRow for Chat {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        // A room without messages yields a row without a message.
        let last_message = match row.get::<Option<u64>, _>("seq").flatten() {
            Some(_) => Some(MessageRow::from_row_opt(row.clone())?.message()),
            None => None,
        };
        let membership = Preferences::from_row_opt(row.clone())?;
        let row = ChatRow::from_row_opt(row)?;
        Ok(Self {
            chat_id: row.id,
            room: Room {
                id: row.id,
                kind: row.room_kind,
                name: row.room_name,
                topic: row.topic,
                slow_mode_seconds: row.slow_mode_seconds,
                capacity: row.capacity,
                member_count: row.member_count,
                created_by: row.created_by,
                organization_id: row.organization_id,
                last_seq: row.last_seq,
                created_at: row.room_created_at,
                updated_at: row.updated_at,
                avatar_url: row.avatar_url,
            },
            // These are added for all chats of a list at once.
            peer: None,
            members: None,
            unread: 0,
            unread_mentions: 0,
            first_unread_seq: None,
            last_message,
            membership,
            read_seq: row.read_seq,
            last_seq: row.last_seq,
        })
    }
}
