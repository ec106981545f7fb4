//! Unread messages: how many of a room come after a member's read position, which is the first, and how many mention them
//! (`docs/contract.md`, "Read positions and unread counts").

use std::collections::HashMap;

use mysql_async::Value;
use mysql_async::prelude::FromRow;

use crate::Result;
use crate::base::ids::{RoomId, UserId};
use crate::base::source::Source;
use crate::messages::mentions;

/// How far a member has read in a room.
#[derive(Clone, Copy, Debug, FromRow)]
pub(crate) struct Position {
    pub(crate) room_id: RoomId,
    /// The member's read position.
    pub(crate) read_seq: u64,
    /// The room's newest number.
    pub(crate) last_seq: u64,
    /// Whether the mentions are counted, too.
    pub(crate) counts_mentions: bool,
}

/// What comes after a read position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    /// How many messages of others, not counting system messages and deleted ones; 100 means 100 or more.
    pub(crate) count: u64,
    /// The number of the first of them.
    pub(crate) first_seq: Option<u64>,
    /// How many messages of others mention the member, if that was asked for; 100 means 100 or more.
    pub(crate) mentions: u64,
}

/// The most unread messages of a room that are counted.
const MOST_UNREAD: u64 = 100;
/// How many numbers of a room are looked at to count them.
const MOST_NUMBERS: u64 = 1000;

/// Counts the unread messages of one room among those of a range of numbers. The count comes with `{place}`.
/// The server stops at the limit.
const COUNT: &str = "
    SELECT {place}, FALSE, COUNT(*), MIN(seq) FROM (
        SELECT seq FROM messages FORCE INDEX (PRIMARY)
        WHERE room_id = ? AND seq > ? AND seq <= ?
          AND sender_id <> ? AND kind <> 'system' AND deleted_at IS NULL ORDER BY room_id, seq LIMIT ?) unread";

/// Counts the unread messages of a user after these positions, in one statement. Each range has its bounds as values,
/// without which both servers would read the whole room. It ends at the `last_seq` of its position, so the counts suit a
/// list that was read before, although more messages may have arrived since.
///
/// # Errors
/// The database's.
pub(crate) async fn count(
    source: &mut Source<'_>,
    user_id: &UserId,
    positions: &[Position],
) -> Result<HashMap<RoomId, Unread>> {
    let mut counts = Vec::new();
    let mut params: Vec<Value> = Vec::new();
    for (place, position) in positions.iter().enumerate() {
        let Position { room_id, read_seq, last_seq, counts_mentions } = *position;
        if counts_mentions && last_seq > read_seq {
            let (count, its_params) = mentions::unread(user_id, room_id, read_seq, last_seq);
            counts.push(count.replace("{place}", &place.to_string()));
            params.extend(its_params);
        }
        // The count would stop at so many numbers, if not before. Only the first message is looked for then.
        let (last_seq, most) = match last_seq.saturating_sub(read_seq) {
            0 => continue,
            1..=MOST_NUMBERS => (last_seq, MOST_UNREAD),
            _ => (read_seq + MOST_NUMBERS, 1),
        };
        counts.push(COUNT.replace("{place}", &place.to_string()));
        params.extend([room_id.into(), read_seq.into(), last_seq.into(), user_id.into(), most.into()]);
    }
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let counted: Vec<(usize, bool, u64, Option<u64>)> =
        source.rows(&counts.join(" UNION ALL "), params).await?;
    let mut unread = HashMap::<RoomId, Unread>::new();
    for (place, is_of_mentions, count, first_seq) in counted {
        let Position { room_id, read_seq, last_seq, .. } = positions[place];
        let unread = unread.entry(room_id).or_default();
        if is_of_mentions {
            unread.mentions = count.min(mentions::MOST_UNREAD);
        } else {
            unread.count = if last_seq - read_seq > MOST_NUMBERS { MOST_UNREAD } else { count };
            unread.first_seq = first_seq;
        }
    }
    Ok(unread)
}
