//! `ROOM_POSTS_LIMIT`: how many posts to sockets the messages of one room may cause in a second
//! (`docs/contract.md`, "Rate limits").
//!
//! A message is one post to each open socket of the room's members. How many those are is known only after
//! its commit, and counting them before would lock the sockets. So the room's row keeps its `audience`: the
//! number of sockets of an earlier message. The statement that takes a message's number, and so has locked
//! the room, counts them in `posts_tally`. The audience is written again when it has changed much.

use std::collections::HashMap;

use mysql_async::params;

use crate::Result;
use crate::base::db::{Db, padded, places};
use crate::base::ids::{ConnectionId, RoomId};
use crate::base::rate_limit::{Count, MOST};
use crate::base::socket::{Protocol, Socket};
use crate::base::transaction::Committed;
use crate::config::Limit;
use crate::error::Standing;

/// The smallest change of an audience that is written down. Rooms with fewer sockets are never counted: the
/// row of a room is locked during a message, so they do not get enough messages to reach the limit.
const LEAST_CHANGE: u32 = 20;

/// The condition that the room `r` may cause the posts of one more message. A message to an audience above
/// the limit has a second for itself. Without a limit `:posts` is NULL.
macro_rules! may_post {
    () => {
        "(:posts IS NULL OR r.posts_tally < :posts_closed OR (r.posts_tally & :most) = 0
          OR (r.posts_tally & :most) + r.audience <= :posts)"
    };
}
pub(crate) use may_post;

/// The assignment that counts the posts of one message in the room `r`.
macro_rules! count_posts {
    () => {
        "r.posts_tally = CASE WHEN :posts IS NULL THEN r.posts_tally
                              WHEN r.posts_tally < :posts_closed THEN :posts_opened + r.audience
                              ELSE r.posts_tally + r.audience END"
    };
}
pub(crate) use count_posts;

/// The numbers that a statement with [`may_post`] and [`count_posts`] needs: its `:posts`, `:posts_closed` and
/// `:posts_opened`. They are `None` without a limit. Its `:most` is [`MOST`].
pub(crate) struct PostsCount {
    limit: Option<(Limit, Count)>,
}

impl PostsCount {
    pub(crate) fn now(limit: Option<Limit>) -> Self {
        Self { limit: limit.map(|limit| (limit, Count::now(limit))) }
    }

    pub(crate) fn posts(&self) -> Option<u32> {
        self.limit.as_ref().map(|(limit, _)| limit.count)
    }

    pub(crate) fn closed(&self) -> Option<u64> {
        self.limit.as_ref().map(|(_, count)| count.closed)
    }

    /// The tally of a window that opens now, without any post.
    pub(crate) fn opened(&self) -> Option<u64> {
        self.limit.as_ref().map(|(_, count)| count.fresh - 1)
    }

    /// Returns a room's tally with the posts of one more message. It counts as [`count_posts`] does.
    pub(crate) fn counted(&self, tally: u64, audience: u32) -> u64 {
        match &self.limit {
            None => tally,
            Some((_, count)) if tally < count.closed => count.fresh - 1 + u64::from(audience),
            Some(_) => tally + u64::from(audience),
        }
    }

    /// Returns how much of the limit a room has used, if that refuses one more message. It decides as
    /// [`may_post`] does.
    pub(crate) fn refusal(&self, tally: u64, audience: u32) -> Option<Standing> {
        let (limit, count) = self.limit.as_ref()?;
        let used = count.used(tally);
        // What is left is too little for this message, and so none.
        let standing = || Standing { remaining: 0, ..count.standing(*limit, tally) };
        (used > 0 && u64::from(used) + u64::from(audience) > u64::from(limit.count)).then(standing)
    }
}

/// Returns the open sockets of the members of rooms that got messages. Writes down how many they are where the room's
/// `audience` is far from it; an error of that is only logged, since the messages have been sent.
///
/// # Errors
/// The database's.
pub(crate) async fn sockets(
    db: &Db,
    limit: Option<Limit>,
    rooms: &[RoomId],
) -> Result<HashMap<RoomId, Vec<Socket>>> {
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = db.rows(&select(&places(rooms.len().next_power_of_two())), padded(rooms)).await?;
    Ok(found(db, limit, rows).await)
}

/// The sockets of rooms that got messages, as [`select`] selects them together with the commit of the messages.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) committed: Committed,
    pub(crate) rooms: Vec<RoomId>,
}

impl Selected {
    /// Works like [`sockets`]. What cannot be read is selected again, since the messages are stored.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn sockets(self, db: &Db, limit: Option<Limit>) -> Result<HashMap<RoomId, Vec<Socket>>> {
        match db.rows_after(self.committed).await {
            Ok(rows) => Ok(found(db, limit, rows).await),
            Err(error) => {
                error.log();
                sockets(db, limit, &self.rooms).await
            }
        }
    }
}

/// A room, its `audience`, and one of the sockets if there is any.
type Row = (RoomId, u32, Option<ConnectionId>, Option<Protocol>);

/// Returns the statement that selects the open sockets of the members of rooms, of which `rooms` are the ids or their
/// placeholders.
pub(crate) fn select(rooms: &str) -> String {
    format!(
        "SELECT r.id, r.audience, c.connection_id, c.protocol FROM rooms r FORCE INDEX (PRIMARY)
         LEFT JOIN (room_members m FORCE INDEX (PRIMARY) STRAIGHT_JOIN connections c FORCE INDEX (connections_user)
                    ON c.user_id = m.user_id AND c.expires_at > UTC_TIMESTAMP(3)) ON m.room_id = r.id
         WHERE r.id IN ({rooms})"
    )
}

async fn found(db: &Db, limit: Option<Limit>, rows: Vec<Row>) -> HashMap<RoomId, Vec<Socket>> {
    let mut sockets = HashMap::<RoomId, Vec<Socket>>::new();
    let mut audiences = HashMap::new();
    for (room_id, audience, id, protocol) in rows {
        audiences.insert(room_id, audience);
        sockets.entry(room_id).or_default().extend(Socket::found(id, protocol));
    }
    for (room_id, audience) in audiences {
        let sockets = sockets.get(&room_id).map_or(0, Vec::len);
        measure(db, limit, room_id, audience, sockets).await;
    }
    sockets
}

async fn measure(db: &Db, limit: Option<Limit>, room_id: RoomId, audience: u32, sockets: usize) {
    let sockets = u32::try_from(sockets).unwrap_or(u32::MAX).min(MOST as u32);
    if limit.is_none() || !has_changed(audience, sockets) {
        return;
    }
    let sql = "UPDATE rooms SET audience = :sockets WHERE id = :room_id";
    if let Err(error) = db.execute(sql, params! { sockets, room_id }).await {
        error.log();
    }
}

/// Whether an audience is so far from the number that was written down that it is written again.
fn has_changed(audience: u32, sockets: u32) -> bool {
    audience.abs_diff(sockets) > LEAST_CHANGE.max(audience / 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Limit = Limit { count: 600, window: Duration::from_secs(1) };

    #[test]
    fn an_audience_is_written_again_when_it_has_changed_by_twenty_and_a_quarter() {
        for (audience, sockets) in [(0, 21), (21, 0), (80, 101), (1000, 1251), (1000, 749), (1000, 0)] {
            assert!(has_changed(audience, sockets), "{audience} {sockets}");
        }
        for (audience, sockets) in [(0, 20), (20, 0), (80, 100), (1000, 1250), (1000, 750)] {
            assert!(!has_changed(audience, sockets), "{audience} {sockets}");
        }
    }

    #[test]
    fn a_message_is_refused_when_its_posts_do_not_fit_into_the_rest_of_a_window() {
        let count = PostsCount::now(Some(LIMIT));
        let opened = count.opened().unwrap();
        for (used, audience) in [(400, 201), (600, 1), (600, 0), (900, 300)] {
            let refusal = count.refusal(opened + used, audience);
            assert_eq!(refusal.is_some(), used + u64::from(audience) > 600, "{used} {audience}");
        }
        assert_eq!(count.refusal(opened + 400, 200), None);
        let standing = count.refusal(opened + 400, 201).unwrap();
        assert_eq!(standing, Standing { limit: 600, remaining: 0, reset: 1 });
    }

    #[test]
    fn a_new_window_takes_any_message_and_without_a_limit_there_is_none() {
        let count = PostsCount::now(Some(LIMIT));
        let opened = count.opened().unwrap();
        assert_eq!(count.refusal(0, 10_000), None);
        assert_eq!(count.refusal(opened, 10_000), None);
        assert_eq!(count.refusal(count.closed().unwrap() - 1, 10_000), None);
        let off = PostsCount::now(None);
        assert_eq!((off.posts(), off.closed(), off.opened()), (None, None, None));
        assert_eq!(off.refusal(opened + 600, 600), None);
    }
}
