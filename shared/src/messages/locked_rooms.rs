//! The rooms of a batch of messages: locks their rows, and writes what the messages change in them.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, Value};

use crate::Result;
use crate::base::db::{padded, rows};
use crate::base::ids::{RoomId, UserId};
use crate::rooms::room::RoomKind;

/// The row of a room, as far as sending changes it.
#[derive(Debug, FromRow)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) last_seq: u64,
    pub(crate) posts_tally: u64,
    pub(crate) audience: u32,
    pub(crate) slow_mode_seconds: u32,
    pub(crate) is_changed: bool,
}

/// Locks rooms, in the order of their ids. `waits` tells whether to wait for those that another transaction has locked,
/// instead of leaving them out.
///
/// The index is forced, since a scan of a small table would lock all its rooms.
///
/// # Errors
/// The database's.
pub(crate) async fn lock(
    transaction: &mut Transaction<'static>,
    mut ids: Vec<RoomId>,
    waits: bool,
) -> Result<HashMap<RoomId, Room>> {
    ids.sort_unstable();
    ids.dedup();
    let sql = format!(
        "SELECT id, kind, last_seq, posts_tally, audience, slow_mode_seconds, FALSE AS is_changed
         FROM rooms FORCE INDEX (PRIMARY) WHERE id IN ({}) ORDER BY id FOR UPDATE{}",
        rows("?", ids.len().next_power_of_two()),
        if waits { "" } else { " SKIP LOCKED" }
    );
    let rooms: Vec<Room> = transaction.exec(sql, padded(&ids)).await?;
    Ok(rooms.into_iter().map(|room| (room.id, room)).collect())
}

/// How many new replies each message has, by its room and number.
pub(crate) type Replies = BTreeMap<(RoomId, u64), u64>;

/// Writes the rooms' numbers and posts, the senders' windows, whose rows are all locked, and how many replies messages have.
///
/// # Errors
/// The database's.
pub(crate) async fn advance<'a>(
    transaction: &mut Transaction<'static>,
    rooms: impl Iterator<Item = &'a Room>,
    tallies: &HashMap<UserId, u64>,
    replies: &Replies,
    now: NaiveDateTime,
) -> Result<()> {
    let rooms: Vec<&Room> = rooms.collect();
    let windows: Vec<(&UserId, &u64)> = tallies.iter().collect();
    let (sql, params) = match (&rooms[..], &windows[..]) {
        ([room], [] | [_]) if replies.len() <= 1 => {
            advance_one(room, windows.first().copied(), replies.iter().next(), now)
        }
        (rooms, windows) => advance_many(rooms, windows, replies, now),
    };
    Ok(transaction.exec_drop(sql, params).await?)
}

/// Advances one room, at most one window and one message with replies, without the costs of a derived table.
fn advance_one(
    room: &Room,
    window: Option<(&UserId, &u64)>,
    replied: Option<(&(RoomId, u64), &u64)>,
    now: NaiveDateTime,
) -> (String, Vec<Value>) {
    let (limits, tally) = match window {
        Some(_) => (
            "LEFT JOIN rate_limits l FORCE INDEX (PRIMARY) ON l.name = 'message' AND l.subject = ?",
            ", l.tally = ?",
        ),
        None => ("", ""),
    };
    let (message, count) = match replied {
        Some(_) => (
            "LEFT JOIN messages p FORCE INDEX (PRIMARY) ON p.room_id = r.id AND p.seq = ?",
            ", p.reply_count = p.reply_count + ?",
        ),
        None => ("", ""),
    };
    let sql = format!(
        "UPDATE rooms r FORCE INDEX (PRIMARY) {limits} {message}
         SET r.last_seq = ?, r.posts_tally = ?, r.updated_at = ?{tally}{count} WHERE r.id = ?"
    );
    let mut params: Vec<Value> = window.map(|(user_id, _)| user_id.into()).into_iter().collect();
    params.extend(replied.map(|((_, seq), _)| Value::from(seq)));
    params.extend([room.last_seq.into(), room.posts_tally.into(), now.into()]);
    params.extend(window.map(|(_, tally)| Value::from(tally)));
    params.extend(replied.map(|(_, count)| Value::from(count)));
    params.push(room.id.into());
    (sql, params)
}

/// Advances rooms, windows and messages with replies. They have nothing to do with each other but the statement: each row
/// of `k` has a room, a window, a message, or more than one of them.
fn advance_many(
    rooms: &[&Room],
    windows: &[(&UserId, &u64)],
    replies: &Replies,
    now: NaiveDateTime,
) -> (String, Vec<Value>) {
    let count = rooms.len().max(windows.len()).max(replies.len()).next_power_of_two();
    let (mut columns, mut joins, mut assigned) = (String::new(), String::new(), String::new());
    if !windows.is_empty() {
        columns += ", CAST(? AS CHAR(64)) AS user_id, CAST(? AS UNSIGNED) AS tally";
        joins +=
            " LEFT JOIN rate_limits l FORCE INDEX (PRIMARY) ON l.name = 'message' AND l.subject = k.user_id";
        assigned += ", l.tally = k.tally";
    }
    if !replies.is_empty() {
        columns += ", CAST(? AS UNSIGNED) AS reply_room_id, CAST(? AS UNSIGNED) AS reply_to_seq,
                    CAST(? AS UNSIGNED) AS replies";
        joins += " LEFT JOIN messages p FORCE INDEX (PRIMARY) ON p.room_id = k.reply_room_id AND p.seq = k.reply_to_seq";
        assigned += ", p.reply_count = p.reply_count + k.replies";
    }
    let changed = format!(
        "SELECT CAST(? AS UNSIGNED) AS room_id, CAST(? AS UNSIGNED) AS last_seq, CAST(? AS UNSIGNED) AS posts_tally{columns}"
    );
    let sql = format!(
        "UPDATE ({}) k LEFT JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.room_id{joins}
         SET r.last_seq = k.last_seq, r.posts_tally = k.posts_tally, r.updated_at = ?{assigned}",
        vec![changed; count].join(" UNION ALL ")
    );
    let (mut rooms, mut window, mut replied) = (rooms.iter(), windows.iter(), replies.iter());
    let mut params: Vec<Value> = Vec::with_capacity(8 * count + 1);
    for _ in 0..count {
        let room = rooms.next();
        params.extend([
            room.map(|room| room.id).into(),
            room.map(|room| room.last_seq).into(),
            room.map(|room| room.posts_tally).into(),
        ]);
        if !windows.is_empty() {
            let window = window.next();
            params.extend([window.map(|(user_id, _)| user_id).into(), window.map(|(_, tally)| tally).into()]);
        }
        if !replies.is_empty() {
            let replied = replied.next();
            params.extend([
                replied.map(|((room_id, _), _)| *room_id).into(),
                replied.map(|((_, seq), _)| *seq).into(),
                replied.map(|(_, count)| *count).into(),
            ]);
        }
    }
    params.push(now.into());
    (sql, params)
}
