//! Slow mode: the members of a slow room send once in so many seconds (`docs/contract.md`, "Slow mode").
//!
//! A member's pause is a row of `rate_limits`, so it outlasts the membership, and the sweep erases it. A send locks
//! the room first, so no two sends of a member look at their pause at once. Rooms that are not slow cost nothing.

use std::collections::HashMap;

use chrono::Utc;
use mysql_async::Value;
use mysql_async::prelude::Queryable;

use crate::base::db::{json_rows, rows};
use crate::base::ids::{RoomId, UserId};
use crate::base::rate_limit::{COUNT_BITS, MOST, in_room};
use crate::base::transaction::Transaction;
use crate::base::user::Role;
use crate::error::Standing;
use crate::{Error, Result};

/// The pauses of members who send, if slow mode applies to them: not the owner and the moderators of the room, and not
/// the organization's moderators and admins in a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pauses(HashMap<(RoomId, UserId), Pause>);

#[derive(Clone, Debug)]
struct Pause {
    /// The room's `slow_mode_seconds`.
    seconds: u32,
    /// The end of the pause and what it was made of; see [`tally`].
    tally: u64,
    /// Whether it begins with a message that is being stored.
    is_new: bool,
}

/// The lower bits of a pause's count hold seconds; the bits above them hold the number of messages.
const SECONDS_BITS: u32 = 15;

/// The tally of a pause that begins now, in milliseconds since 1970, with so many messages: when it ends, and in the
/// lower bits what it was made of.
fn tally(now: u64, seconds: u32, number: u32) -> u64 {
    let (seconds, number) = (u64::from(seconds), u64::from(number));
    ((now + 1000 * seconds * number) << COUNT_BITS) + (number << SECONDS_BITS) + seconds
}

impl Pauses {
    /// Reads the pauses of members of rooms that the caller has locked, each with the room's `slow_mode_seconds`.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read(
        transaction: &mut Transaction,
        mut senders: Vec<(RoomId, u32, &UserId)>,
    ) -> Result<Self> {
        senders.retain(|&(_, seconds, _)| seconds > 0);
        if senders.is_empty() {
            return Ok(Self::default());
        }
        let sql = "SELECT k.place, l.tally
             FROM (SELECT * FROM JSON_TABLE(?, '$[*]' COLUMNS (
                      place INT UNSIGNED PATH '$[0]', room_id BIGINT UNSIGNED PATH '$[1]',
                      user_id VARCHAR(64) PATH '$[2]', subject VARCHAR(64) PATH '$[3]')) j) k
             STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.room_id
             STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = k.room_id AND m.user_id = k.user_id
                    AND m.role = 'member'
             STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = k.user_id
                    AND NOT (r.kind = 'channel' AND u.role IN (?, ?))
             LEFT JOIN rate_limits l FORCE INDEX (PRIMARY) ON l.name = 'slow' AND l.subject = k.subject
             LOCK IN SHARE MODE";
        let rows = senders.iter().enumerate().map(|(place, &(room_id, _, user_id))| {
            (place, room_id, user_id.as_str(), in_room(user_id, room_id))
        });
        let mut params = vec![Value::from(json_rows(rows))];
        params.extend(Role::CHANNEL_MAKERS.map(Value::from));
        let bound: Vec<(usize, Option<u64>)> = transaction.exec(sql, params).await?;
        let pauses = bound.into_iter().filter_map(|(place, tally)| {
            let &(room_id, seconds, user_id) = senders.get(place)?;
            let pause = Pause { seconds, tally: tally.unwrap_or(0), is_new: false };
            Some(((room_id, user_id.clone()), pause))
        });
        Ok(Self(pauses.collect()))
    }

    /// Begins a member's pause with so many messages that they send at once. It lasts as long as if they were sent one by
    /// one.
    ///
    /// # Errors
    /// How long the pause still lasts, when one has begun before.
    pub(crate) fn begin(&mut self, room_id: RoomId, user_id: &UserId, number: u32) -> Result<(), Standing> {
        if self.0.is_empty() {
            return Ok(());
        }
        let Some(pause) = self.0.get_mut(&(room_id, user_id.clone())) else { return Ok(()) };
        let now = Utc::now().timestamp_millis() as u64;
        let left = pause.end().saturating_sub(now);
        if left > 0 {
            return Err(Standing { limit: 1, remaining: 0, reset: left.div_ceil(1000) });
        }
        pause.tally = tally(now, pause.seconds, number);
        pause.is_new = true;
        Ok(())
    }

    /// Stores the pauses that have begun.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn write(&self, transaction: &mut Transaction) -> Result<()> {
        let new: Vec<_> = self.0.iter().filter(|(_, pause)| pause.is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO rate_limits (name, subject, tally) VALUES {} ON DUPLICATE KEY UPDATE tally = VALUES(tally)",
            rows("('slow', ?, ?)", new.len())
        );
        let params = new
            .into_iter()
            .flat_map(|((room_id, user_id), pause)| [in_room(user_id, *room_id).into(), pause.tally.into()]);
        Ok(transaction.exec_drop(sql, params.collect::<Vec<Value>>()).await?)
    }
}

impl Pause {
    /// When it ends, in milliseconds since 1970. If the room's pauses have become shorter meanwhile, so has this one.
    fn end(&self) -> u64 {
        let made_of = self.tally & MOST;
        let (number, seconds) = (made_of >> SECONDS_BITS, made_of & ((1 << SECONDS_BITS) - 1));
        let shorter = seconds.saturating_sub(self.seconds.into());
        (self.tally >> COUNT_BITS).saturating_sub(1000 * number * shorter)
    }
}

/// Begins a member's pause with a file that they send to a room that the caller has locked.
///
/// # Errors
/// [`Error::SlowMode`] when a pause has begun before.
pub(crate) async fn begin(transaction: &mut Transaction, room_id: RoomId, user_id: &UserId) -> Result<()> {
    begun(transaction, room_id, user_id).await?.write(transaction).await
}

/// Checks that a member may send a file now, before costly work with it. [`begin`] decides.
///
/// # Errors
/// [`Error::SlowMode`] when a pause has begun before.
pub(crate) async fn check(
    transaction: &mut Transaction,
    (room_id, user_id): (RoomId, &UserId),
) -> Result<()> {
    begun(transaction, room_id, user_id).await.map(drop)
}

/// A pause that begins with a file, not stored yet.
async fn begun(transaction: &mut Transaction, room_id: RoomId, user_id: &UserId) -> Result<Pauses> {
    let seconds: Option<u32> =
        transaction.exec_first("SELECT slow_mode_seconds FROM rooms WHERE id = ?", (room_id,)).await?;
    let mut pauses = Pauses::read(transaction, vec![(room_id, seconds.unwrap_or(0), user_id)]).await?;
    pauses.begin(room_id, user_id, 1).map_err(Error::SlowMode)?;
    Ok(pauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_several_messages_becomes_shorter_by_each_of_them() {
        let begun = 1_764_000_000_000;
        for (seconds, number, seconds_now, lasts) in
            [(600, 1, 600, 600), (600, 1, 10, 10), (600, 1, 900, 600), (600, 3, 10, 30), (21_600, 20, 1, 20)]
        {
            let pause = Pause { seconds: seconds_now, tally: tally(begun, seconds, number), is_new: false };
            assert_eq!(pause.end(), begun + 1000 * lasts, "{number} messages of {seconds} s");
        }
    }
}
