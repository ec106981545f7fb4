//! Rate limits: at most so many requests in a window of time (`docs/contract.md`, "Rate limits"). MySQL
//! counts them, since functions share no memory. A window opens with its first request.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::Utc;
use mysql_async::params;
use mysql_async::prelude::Queryable;

use crate::base::db::{Db, rows};
use crate::base::ids::{RoomId, UserId};
use crate::base::sha256::sha256;
use crate::base::transaction::Transaction;
use crate::config::{Limit, Limits};
use crate::error::Standing;
use crate::{Error, Result};

/// The lower bits of a `tally` hold its count; the bits above them hold the end of its window.
pub(crate) const COUNT_BITS: u32 = 20;
/// The largest count that a tally can hold; [`Limit::count`] stays below it.
pub const MOST: u64 = (1 << COUNT_BITS) - 1;

/// No attempt at a password takes longer than this: no function may run for so long. One that was killed is not counted
/// after it.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(30);

/// How many batches of windows one sweep deletes. Requests without a user open them too, so they are many more than those
/// of other kinds: windows are deleted faster than they can come.
const FORGOTTEN_BATCHES: usize = 200;

/// How long a room is not notified again of the same user's typing.
pub const TYPING: Duration = Duration::from_secs(2);

/// How often in a time a user may change what others are told of: each change is a push to up to 1,000 people.
const SHOWN: Limit = Limit { count: 20, window: Duration::from_secs(60) };

/// What is limited, and for whom.
#[derive(Clone, Copy, Debug)]
pub enum Limited<'a> {
    /// `CHAT_LIST_LIMIT`.
    ChatList(&'a UserId),
    /// `MESSAGE_LIMIT`.
    Message(&'a UserId),
    /// `FRAME_LIMIT`.
    Frame(&'a UserId),
    /// `READ_LIMIT`.
    Read(&'a UserId),
    /// `typing` in a room: one for each [`TYPING`], while `FRAME_LIMIT` is on.
    Typing(&'a UserId, RoomId),
    /// Changes that are pushed to others at once, such as that of a name: [`SHOWN`], while `FRAME_LIMIT` is on.
    Shown(&'a UserId),
    /// `TICKET_LIMIT`.
    Ticket(&'a UserId),
    /// `UPLOAD_LIMIT`.
    Upload(&'a UserId),
    /// `PASSWORD_LIMIT` at login: the user, or what was typed and means nobody; and the client's address.
    Login(&'a str, &'a str),
    /// `LOGIN_LIMIT`: the client's address.
    Address(&'a str),
    /// `PASSWORD_LIMIT` for joining a room.
    RoomPassword(&'a UserId, RoomId),
    /// `REGISTER_LIMIT`, for new users and new identifiers: the client's address.
    Registration(&'a str),
    /// `HANDSHAKE_LIMIT`: the session of the credentials, or without any the client's address.
    Handshake(&'a str),
    /// `ROOM_LIMIT`: the rooms that a user made.
    Room(&'a UserId),
    /// `ADD_LIMIT`: the people whom a user added to groups and who were no friends.
    Addition(&'a UserId),
}

impl Limited<'_> {
    pub(crate) fn limit(self, limits: &Limits) -> Option<Limit> {
        match self {
            Self::ChatList(_) => limits.chat_list,
            Self::Message(_) => limits.message,
            Self::Frame(_) => limits.frame,
            Self::Read(_) => limits.read,
            Self::Typing(..) => limits.frame.map(|_| Limit { count: 1, window: TYPING }),
            Self::Shown(_) => limits.frame.map(|_| SHOWN),
            Self::Ticket(_) => limits.ticket,
            Self::Upload(_) => limits.upload,
            Self::Login(..) | Self::RoomPassword(..) => limits.password,
            Self::Address(_) => limits.login,
            Self::Registration(_) => limits.register,
            Self::Handshake(_) => limits.handshake,
            Self::Room(_) => limits.room,
            Self::Addition(_) => limits.add,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ChatList(_) => "chat_list",
            Self::Message(_) => "message",
            Self::Frame(_) => "frame",
            Self::Read(_) => "read",
            Self::Typing(..) => "typing",
            Self::Shown(_) => "shown",
            Self::Ticket(_) => "ticket",
            Self::Upload(_) => "upload",
            Self::Login(..) => "login",
            Self::RoomPassword(..) => "room_password",
            Self::Address(_) => "address",
            Self::Registration(_) => "registration",
            Self::Handshake(_) => "handshake",
            Self::Room(_) => "room",
            Self::Addition(_) => "add",
        }
    }

    pub(crate) fn subject(self) -> String {
        match self {
            Self::ChatList(user_id)
            | Self::Message(user_id)
            | Self::Frame(user_id)
            | Self::Read(user_id)
            | Self::Shown(user_id)
            | Self::Ticket(user_id)
            | Self::Upload(user_id)
            | Self::Room(user_id)
            | Self::Addition(user_id) => user_id.to_string(),
            // Either may have any length, so a hash stands for both. The address contains no newline.
            Self::Login(identifier, address) => hash(&format!("{address}\n{identifier}")),
            Self::RoomPassword(user_id, room_id) | Self::Typing(user_id, room_id) => {
                in_room(user_id, room_id)
            }
            Self::Address(whose) | Self::Registration(whose) | Self::Handshake(whose) => {
                whose.chars().take(64).collect()
            }
        }
    }
}

/// The subject of what is counted for each user in each room.
pub(crate) fn in_room(user_id: &UserId, room_id: RoomId) -> String {
    hash(&format!("{}\n{user_id}", room_id.0))
}

fn hash(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(&[text.as_bytes()]))
}

/// The numbers that a statement needs to count a `tally` up at this moment.
///
/// A statement that does more than count joins `rate_limits l` as the last of its tables. The limit allows
/// one more while `l.tally < :closed OR (l.tally & :most) < :count`, and then the statement counts it with
/// `l.tally = IF(l.tally < :closed, :fresh, l.tally + 1)`. This opens a window if none is open. When the
/// limit allows no more, [`standing`] says why.
pub(crate) struct Count {
    /// A tally below this one belongs to a window that has ended.
    pub(crate) closed: u64,
    /// The tally of a window that opens now, with its first request counted.
    pub(crate) fresh: u64,
    pub(crate) now: u64,
}

impl Count {
    pub(crate) fn now(limit: Limit) -> Self {
        let now = Utc::now().timestamp_millis() as u64;
        let window = limit.window.as_millis() as u64;
        Self { closed: (now + 1) << COUNT_BITS, fresh: ((now + window) << COUNT_BITS) + 1, now }
    }

    /// How many the open window has had.
    pub(crate) fn used(&self, tally: u64) -> u32 {
        if tally < self.closed { 0 } else { (tally & MOST) as u32 }
    }

    /// Returns how much of a tally's window is used.
    pub(crate) fn standing(&self, limit: Limit, tally: u64) -> Standing {
        let used = self.used(tally);
        // The clock is the older one when this statement waited while another one opened the window.
        let window = limit.window.as_millis() as u64;
        let reset = (tally >> COUNT_BITS).saturating_sub(self.now).min(window).div_ceil(1000).max(1);
        Standing { limit: limit.count, remaining: limit.count.saturating_sub(used), reset }
    }
}

/// Counts one request, in a single statement that many may send at once. Returns `None` when the limit is
/// turned off.
///
/// # Errors
/// [`Error::RateLimited`] when the limit is already used up.
pub async fn count(db: &Db, limits: &Limits, limited: Limited<'_>) -> Result<Option<Standing>> {
    count_many(db, limits, limited, 1).await
}

/// Counts so many requests at once, as [`count`] does.
///
/// # Errors
/// [`Error::RateLimited`] when the limit has no room for all of them. They are counted all the same.
pub(crate) async fn count_many(
    db: &Db,
    limits: &Limits,
    limited: Limited<'_>,
    number: u32,
) -> Result<Option<Standing>> {
    let Some(limit) = limited.limit(limits) else { return Ok(None) };
    let count = Count::now(limit);
    let done = db
        .execute(
            "INSERT INTO rate_limits (name, subject, tally) VALUES (:name, :subject, LAST_INSERT_ID(:fresh))
             ON DUPLICATE KEY UPDATE tally = LAST_INSERT_ID(IF(tally < :closed, :fresh, tally + :number))",
            params! {
                "name" => limited.name(),
                "subject" => limited.subject(),
                "fresh" => count.fresh - 1 + u64::from(number),
                "closed" => count.closed,
                number,
            },
        )
        .await?;
    let tally = done.last_insert_id.ok_or_else(|| Error::internal("a tally was not answered"))?;
    let standing = count.standing(limit, tally);
    if tally & MOST > u64::from(limit.count) {
        return Err(Error::RateLimited(standing));
    }
    Ok(Some(standing))
}

/// Counts so many things that the caller's transaction does, if the limit has room for all of them. What is rolled
/// back does not count. The window stays locked until the transaction ends, so this comes after the other locks.
///
/// # Errors
/// [`Error::RateLimited`] when the limit has no room for them; then nothing is counted.
pub(crate) async fn count_done(
    transaction: &mut Transaction,
    limits: &Limits,
    limited: Limited<'_>,
    number: u32,
) -> Result<()> {
    let Some(limit) = limited.limit(limits) else { return Ok(()) };
    let count = Count::now(limit);
    if number <= limit.count {
        transaction
            .exec_drop(
                "INSERT INTO rate_limits (name, subject, tally) VALUES (:name, :subject, :fresh)
                 ON DUPLICATE KEY UPDATE tally = CASE WHEN tally < :closed THEN :fresh
                     WHEN (tally & :most) + :number <= :count THEN tally + :number ELSE tally END",
                params! {
                    "name" => limited.name(),
                    "subject" => limited.subject(),
                    "fresh" => count.fresh - 1 + u64::from(number),
                    "closed" => count.closed,
                    "most" => MOST,
                    number,
                    "count" => limit.count,
                },
            )
            .await?;
        // An upsert that changes nothing affects no row.
        if transaction.affected_rows() > 0 {
            return Ok(());
        }
    }
    let tally: Option<u64> = transaction
        .exec_first(
            "SELECT tally FROM rate_limits WHERE name = ? AND subject = ? FOR UPDATE",
            (limited.name(), limited.subject()),
        )
        .await?;
    Err(Error::RateLimited(count.standing(limit, tally.unwrap_or(0))))
}

/// Checks that a limit has room for one more, without counting it: before costly work for something that
/// [`count_done`] counts.
///
/// # Errors
/// [`Error::RateLimited`] when it has not.
pub(crate) async fn has_room(db: &Db, limits: &Limits, limited: Limited<'_>) -> Result<()> {
    match standing(db, limits, limited).await? {
        Some(standing) if standing.remaining == 0 => Err(Error::RateLimited(standing)),
        _ => Ok(()),
    }
}

/// Returns how much of a window is used, without counting. A subject without a window gets one that has
/// ended, so that a statement can join it. Returns `None` when the limit is turned off.
///
/// # Errors
/// The database's errors.
pub(crate) async fn standing(db: &Db, limits: &Limits, limited: Limited<'_>) -> Result<Option<Standing>> {
    let Some(limit) = limited.limit(limits) else { return Ok(None) };
    let done = db
        .execute(
            "INSERT INTO rate_limits (name, subject, tally) VALUES (?, ?, LAST_INSERT_ID(0))
             ON DUPLICATE KEY UPDATE tally = LAST_INSERT_ID(tally)",
            (limited.name(), limited.subject()),
        )
        .await?;
    Ok(Some(Count::now(limit).standing(limit, done.last_insert_id.unwrap_or(0))))
}

/// Deletes windows that have ended, in up to [`FORGOTTEN_BATCHES`] batches. Returns how many it deleted. A window whose
/// attempts may still be under way is left.
///
/// # Errors
/// The database's errors.
pub(crate) async fn forget_ended(db: &Db, batch: usize) -> Result<u64> {
    let now = Utc::now().timestamp_millis() as u64;
    let begun = now.saturating_sub(ATTEMPT.as_millis() as u64) << COUNT_BITS;
    let mut forgotten = 0;
    for _ in 0..FORGOTTEN_BATCHES {
        let select = "SELECT name, subject FROM rate_limits FORCE INDEX (rate_limits_end)
                      WHERE ends_at < ? AND attempts < ? LIMIT ?";
        let ended: Vec<(String, String)> = db.rows(select, (now, begun, batch)).await?;
        if ended.is_empty() {
            break;
        }
        let places = rows("(?, ?)", ended.len());
        let mut params: Vec<mysql_async::Value> =
            ended.iter().flat_map(|(name, subject)| [name.into(), subject.into()]).collect();
        // Checked again in the statement, since a window may have opened meanwhile.
        params.extend([now.into(), begun.into()]);
        let sql = format!(
            "DELETE FROM rate_limits WHERE (name, subject) IN ({places}) AND ends_at < ? AND attempts < ?"
        );
        forgotten += db.execute(&sql, params).await?.affected_rows;
        if ended.len() < batch {
            break;
        }
    }
    Ok(forgotten)
}

/// Takes back one that was counted before it proved not to be of the limited kind.
///
/// # Errors
/// The database's errors.
pub async fn give_back(db: &Db, limits: &Limits, limited: Limited<'_>) -> Result<()> {
    if limited.limit(limits).is_none() {
        return Ok(());
    }
    let sql = "UPDATE rate_limits SET tally = tally - 1 WHERE name = ? AND subject = ? AND tally & ? > 0";
    db.execute(sql, (limited.name(), limited.subject(), MOST)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_identifier_is_counted_for_each_address_of_its_own() {
        let subjects = [
            Limited::Login("ann", "127.0.0.1"),
            Limited::Login("bob", "127.0.0.1"),
            Limited::Login("ann", "127.0.0.2"),
            Limited::Login("1\nann", "127.0.0."),
            Limited::Login(&"x".repeat(254), "2001:db8::1"),
        ]
        .map(Limited::subject);
        for (index, subject) in subjects.iter().enumerate() {
            assert!(subject.len() <= 64 && !subjects[..index].contains(subject), "{subjects:?}");
        }
        assert_eq!(Limited::Login("ann", "127.0.0.1").subject(), subjects[0]);
    }

    #[test]
    fn each_address_registers_on_its_own_and_each_user_has_a_window_for_each_thing() {
        let addresses = ["127.0.0.1", "127.0.0.2", "2001:db8::1"].map(|a| Limited::Registration(a).subject());
        assert_eq!(addresses, ["127.0.0.1", "127.0.0.2", "2001:db8::1"]);
        let (ann, bob) = (UserId::stored("ann".to_owned()), UserId::stored("bob".to_owned()));
        assert_ne!(Limited::Message(&ann).subject(), Limited::Message(&bob).subject());
        assert_ne!(Limited::Message(&ann).name(), Limited::Frame(&ann).name());
        let doors = [(&ann, 1), (&ann, 2), (&bob, 1)]
            .map(|(user, room)| Limited::RoomPassword(user, RoomId(room)).subject());
        assert!(doors[0] != doors[1] && doors[0] != doors[2] && doors[1] != doors[2]);
    }

    #[test]
    fn a_window_tells_what_is_left_until_it_ends() {
        let limit = Limit { count: 3, window: Duration::from_millis(2500) };
        let count = Count::now(limit);
        let left = |tally| count.standing(limit, tally);
        assert_eq!(left(count.fresh), Standing { limit: 3, remaining: 2, reset: 3 });
        assert_eq!(left(count.fresh + 2), Standing { limit: 3, remaining: 0, reset: 3 });
        assert_eq!(left(count.fresh + 9), Standing { limit: 3, remaining: 0, reset: 3 });
        // The last millisecond of the window, and the first one after it.
        assert_eq!(left(count.closed + 3), Standing { limit: 3, remaining: 0, reset: 1 });
        assert_eq!(left(count.closed - 1), Standing { limit: 3, remaining: 3, reset: 1 });
        assert_eq!(left(0), Standing { limit: 3, remaining: 3, reset: 1 });
        // A later clock opened this window.
        assert_eq!(left(count.fresh + (900 << COUNT_BITS)), Standing { limit: 3, remaining: 2, reset: 3 });
    }
}
