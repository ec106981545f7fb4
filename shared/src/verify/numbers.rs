//! The numbers of the rooms (`docs/contract.md`, "Order and numbers"): 1 to `last_seq` without gaps.
//!
//! A number is that of a message, or of the last change of one. A number that is neither was that of a change before the
//! last: then a message with a lower `seq` has a higher `updated_seq`.

use std::collections::VecDeque;

use mysql_async::params;

use crate::Result;
use crate::verify::snapshot::{PORTION, Snapshot, Wrong};

const ROOMS: &str = "SELECT id, last_seq FROM rooms FORCE INDEX (PRIMARY)
                     WHERE id > :after AND organization_id IS NOT NULL ORDER BY id LIMIT :portion";
/// Messages in the order of their `seq`, with their `updated_seq`.
const BY_SEQ: &str = "(SELECT room_id, seq, updated_seq FROM messages FORCE INDEX (PRIMARY)
                       WHERE room_id = :room AND seq > :number ORDER BY seq LIMIT :portion)
                      UNION ALL
                      (SELECT room_id, seq, updated_seq FROM messages FORCE INDEX (PRIMARY)
                       WHERE room_id > :room ORDER BY room_id, seq LIMIT :portion)
                      ORDER BY room_id, seq LIMIT :portion";
/// Messages in the order of their `updated_seq`, with their `seq`.
const BY_UPDATED_SEQ: &str = "(SELECT room_id, updated_seq, seq FROM messages FORCE INDEX (messages_updated_seq)
                               WHERE room_id = :room AND updated_seq > :number ORDER BY updated_seq LIMIT :portion)
                              UNION ALL
                              (SELECT room_id, updated_seq, seq FROM messages FORCE INDEX (messages_updated_seq)
                               WHERE room_id > :room ORDER BY room_id, updated_seq LIMIT :portion)
                              ORDER BY room_id, updated_seq LIMIT :portion";

/// Reports the rooms whose numbers have gaps, or go on after `last_seq`, and messages with an `updated_seq` below their
/// `seq`.
pub(super) async fn verify(snapshot: &mut Snapshot, report: &mut (dyn FnMut(Wrong) + Send)) -> Result<()> {
    let (mut messages, mut changes) = (Ordered::new(BY_SEQ), Ordered::new(BY_UPDATED_SEQ));
    let mut after = 0;
    loop {
        let params = params! { "after" => after, "portion" => PORTION };
        let rooms: Vec<(u64, u64)> = snapshot.rows(ROOMS, params).await?;
        for &(room_id, last_seq) in &rooms {
            let mut walk = Walk { room_id, next: 1, reach: 0 };
            loop {
                let seq = messages.number_in(room_id, snapshot).await?;
                let updated_seq = changes.number_in(room_id, snapshot).await?;
                let Some(number) = seq.into_iter().chain(updated_seq).min() else { break };
                walk.pass(number - 1, report);
                walk.next = number + 1;
                if updated_seq == Some(number) {
                    changes.take();
                }
                if seq == Some(number) {
                    let updated_seq = messages.take();
                    walk.reach = walk.reach.max(updated_seq);
                    if updated_seq < number {
                        let what = format!("updated_seq is {updated_seq}, which is before it");
                        report(Wrong { table: "messages", key: format!("{room_id}-{number}"), what });
                    }
                }
            }
            walk.pass(last_seq, report);
            if walk.next > last_seq + 1 {
                let what = format!("last_seq is {last_seq}, but the number {} is taken", walk.next - 1);
                report(Wrong { table: "rooms", key: room_id.to_string(), what });
            }
        }
        let Some(&(last, _)) = rooms.last() else { return Ok(()) };
        after = last;
    }
}

/// The way through the numbers of a room.
struct Walk {
    room_id: u64,
    /// The lowest number that has not been looked at.
    next: u64,
    /// The highest `updated_seq` of the messages so far.
    reach: u64,
}

impl Walk {
    /// Goes on to this number, over numbers that are neither a `seq` nor an `updated_seq`.
    fn pass(&self, last: u64, report: &mut (dyn FnMut(Wrong) + Send)) {
        if self.next > last || self.reach > last {
            return;
        }
        let what = format!("no message and no change has a number from {} to {last}", self.next);
        report(Wrong { table: "rooms", key: self.room_id.to_string(), what });
    }
}

/// Rows `(room_id, number, other)` in the order of the first two, which are read in portions.
struct Ordered {
    sql: &'static str,
    rows: VecDeque<(u64, u64, u64)>,
    /// The room and the number of the last row that was read.
    last: (u64, u64),
    is_at_end: bool,
}

impl Ordered {
    fn new(sql: &'static str) -> Self {
        Self { sql, rows: VecDeque::new(), last: (0, 0), is_at_end: false }
    }

    /// The next number if it is one of this room. Leaves out what is left of earlier rooms, which are deleted.
    async fn number_in(&mut self, room_id: u64, snapshot: &mut Snapshot) -> Result<Option<u64>> {
        loop {
            while let Some(&(room, number, _)) = self.rows.front() {
                if room >= room_id {
                    return Ok((room == room_id).then_some(number));
                }
                self.rows.pop_front();
            }
            if self.is_at_end {
                return Ok(None);
            }
            let (room, number) = self.last;
            let params = params! { "room" => room, "number" => number, "portion" => PORTION };
            self.rows = snapshot.rows(self.sql, params).await?.into();
            match self.rows.back() {
                Some(&(room, number, _)) => self.last = (room, number),
                None => self.is_at_end = true,
            }
        }
    }

    /// Takes the next row. Returns its other number.
    fn take(&mut self) -> u64 {
        self.rows.pop_front().map_or(0, |(_, _, other)| other)
    }
}
