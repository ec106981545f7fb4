//! The rooms of a batch of messages: the statement that locks their rows, and those that write what the messages change.
//!
//! They are texts, so that they can travel with the beginning and the end of a transaction. They contain ids, numbers
//! and times, and nothing that a client has written.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;

use crate::base::db::listed;
use crate::base::ids::RoomId;
use crate::messages::message::MessageId;
use crate::rooms::room::RoomKind;

/// The row of a room, as far as sending changes it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) last_seq: u64,
    pub(crate) posts_tally: u64,
    pub(crate) audience: u32,
    pub(crate) slow_mode_seconds: u32,
    pub(crate) is_changed: bool,
}

/// Returns the statement that locks rooms, in this order. `waits` tells whether to wait for those that another transaction
/// has locked, instead of leaving them out.
///
/// The index is forced, since a scan of a small table would lock all its rooms.
pub(crate) fn lock(ids: &[RoomId], order: &str, waits: bool) -> String {
    let skip = if waits { "" } else { " SKIP LOCKED" };
    format!(
        "SELECT id, kind, last_seq, posts_tally, audience, slow_mode_seconds
         FROM rooms FORCE INDEX (PRIMARY) WHERE id IN ({}){order} FOR UPDATE{skip}",
        listed(ids)
    )
}

/// A number for each of these messages.
pub(crate) type OfMessages = BTreeMap<MessageId, u64>;

/// Returns the statements that write the numbers and posts of rooms, the windows of `MESSAGE_LIMIT` of the senders of
/// these messages, and how many more replies those messages have. The rows of the rooms and the windows are locked.
pub(crate) fn advance<'a>(
    rooms: impl Iterator<Item = &'a Room>,
    windows: &OfMessages,
    replies: &OfMessages,
    now: NaiveDateTime,
) -> Vec<String> {
    let rooms: Vec<&Room> = rooms.collect();
    let ids: Vec<RoomId> = rooms.iter().map(|room| room.id).collect();
    let of_room =
        |value: fn(&Room) -> u64| choice(rooms.iter().map(|room| (format!("id = {}", room.id), value(room))));
    let mut statements = vec![format!(
        "UPDATE rooms FORCE INDEX (PRIMARY)
         SET last_seq = {}, posts_tally = {}, updated_at = '{now}' WHERE id IN ({})",
        of_room(|room| room.last_seq),
        of_room(|room| room.posts_tally),
        listed(&ids)
    )];
    if !windows.is_empty() {
        statements.push(format!(
            "UPDATE messages m FORCE INDEX (PRIMARY)
             STRAIGHT_JOIN rate_limits l FORCE INDEX (PRIMARY) ON l.name = 'message' AND l.subject = m.sender_id
             SET l.tally = {} WHERE {}",
            of_message(windows),
            any_of(windows)
        ));
    }
    if !replies.is_empty() {
        statements.push(format!(
            "UPDATE messages m FORCE INDEX (PRIMARY) SET m.reply_count = m.reply_count + {} WHERE {}",
            of_message(replies),
            any_of(replies)
        ));
    }
    statements
}

/// The expression of the value whose condition holds. One of them does.
fn choice(values: impl Iterator<Item = (String, u64)>) -> String {
    match &values.collect::<Vec<_>>()[..] {
        [(_, value)] => value.to_string(),
        values => {
            let cases = values.iter().map(|(condition, value)| format!(" WHEN {condition} THEN {value}"));
            format!("CASE{} END", cases.collect::<String>())
        }
    }
}

fn of_message(numbers: &OfMessages) -> String {
    choice(numbers.iter().map(|(id, number)| (is_message(*id), *number)))
}

fn any_of(numbers: &OfMessages) -> String {
    numbers.keys().map(|id| is_message(*id)).collect::<Vec<_>>().join(" OR ")
}

fn is_message(MessageId { room_id, seq }: MessageId) -> String {
    format!("(m.room_id = {room_id} AND m.seq = {seq})")
}
