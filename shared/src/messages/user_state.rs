//! The user's cursor: what a client knows about its user (`docs/contract.md`, "The user's cursor").
//!
//! Nothing is written for it. The cursor has a hash of each thing that belongs to the user, and the time at which they
//! were read. What has another hash now has changed, and is answered whole. Memberships may be many, so only those that
//! have changed since that time are answered.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDateTime, TimeDelta};
use mysql_async::params;
use mysql_async::prelude::FromRow;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base::fields;
use crate::base::sha256::sha256;
use crate::base::source::Source;
use crate::base::time;
use crate::base::user::User;
use crate::people::friends;
use crate::people::profiles::OwnProfile;
use crate::rooms::invitations;
use crate::{Error, Result};

/// A transaction that changes a membership writes the time of its statement, and is seen only after its commit. It ends
/// within much less time than this. So what has changed in so many seconds before a cursor is looked at again.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);
/// A cursor may be from a clock that is ahead by so much, as after a failover of the database: [`OVERLAP`] still covers
/// what has changed meanwhile.
const AHEAD: TimeDelta = TimeDelta::seconds(30);

/// Selects a hash of 64 bits.
macro_rules! hash {
    ($text:literal) => {
        concat!("CAST(CONV(LEFT(SHA2(", $text, ", 256), 16), 16, 10) AS UNSIGNED)")
    };
}

/// Selects the [`State`] of a user. The hash of a set is that of its rows, combined by XOR.
const STATE: &str = concat!(
    "SELECT UTC_TIMESTAMP(3) AS at, mine.rooms, mine.recent, mine.since, asked.requests, asked.friends,
            invited.invitations
     FROM (SELECT BIT_XOR(",
    hash!("m.room_id"),
    ") AS rooms, BIT_XOR(IF(m.changed_at > UTC_TIMESTAMP(3) - INTERVAL :overlap SECOND, ",
    hash!("CONCAT_WS(' ', m.room_id, m.changed_at)"),
    ", NULL)) AS recent, BIT_XOR(IF(m.changed_at > :since, ",
    hash!("CONCAT_WS(' ', m.room_id, m.changed_at)"),
    ", NULL)) AS since
           FROM room_members m FORCE INDEX (room_members_user) WHERE m.user_id = :user_id) mine
     JOIN (SELECT BIT_XOR(IF(f.status = 'pending', ",
    hash!("f.id"),
    ", NULL)) AS requests, BIT_XOR(IF(f.status = 'accepted', ",
    hash!("f.id"),
    ", NULL)) AS friends
           FROM (SELECT * FROM (SELECT id, status FROM friend_requests FORCE INDEX (friend_requests_from)
                                WHERE from_id = :user_id ORDER BY id DESC LIMIT :most_requests) sent
                 UNION ALL
                 SELECT * FROM (SELECT id, status FROM friend_requests FORCE INDEX (friend_requests_to)
                                WHERE to_id = :user_id ORDER BY id DESC LIMIT :most_requests) received) f) asked
     JOIN (SELECT BIT_XOR(",
    hash!("i.invitation_id"),
    ") AS invitations
           FROM (SELECT * FROM (SELECT invitation_id, room_id, expires_at, used_at, revoked_at
                                FROM invitations FORCE INDEX (invitations_inviter) WHERE inviter_id = :user_id
                                ORDER BY invitation_id DESC LIMIT :most_invitations) sent
                 UNION ALL
                 SELECT * FROM (SELECT invitation_id, room_id, expires_at, used_at, revoked_at
                                FROM invitations FORCE INDEX (invitations_invitee) WHERE invitee_id = :user_id
                                ORDER BY invitation_id DESC LIMIT :most_invitations) received) i
           STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = i.room_id AND r.organization_id IS NOT NULL
           WHERE i.used_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > UTC_TIMESTAMP(3)) invited"
);

/// The hashes of what belongs to a user at one moment.
#[derive(Debug, FromRow)]
pub(crate) struct State {
    at: NaiveDateTime,
    pub(crate) rooms: u64,
    /// The memberships that have changed shortly before.
    recent: u64,
    /// Those that have changed since a time.
    since: u64,
    pub(crate) requests: u64,
    pub(crate) friends: u64,
    pub(crate) invitations: u64,
}

impl State {
    /// Reads the state of a user, with the memberships that have changed since a cursor.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read(
        source: &mut Source<'_>,
        user: &User,
        since: Option<&UserCursor>,
    ) -> Result<Self> {
        let params = params! {
            "user_id" => &user.user_id,
            "since" => since.map(UserCursor::since),
            "overlap" => OVERLAP.num_seconds(),
            "most_requests" => friends::MOST,
            "most_invitations" => invitations::MOST,
        };
        let state = source.rows(STATE, params).await?.pop();
        state.ok_or_else(|| Error::internal("the state of a user is one row"))
    }

    /// Returns the cursor of a client that knows everything of this state.
    pub(crate) fn cursor(&self, profile: &OwnProfile) -> Result<UserCursor> {
        let Self { at, rooms, recent, requests, friends, invitations, .. } = *self;
        Ok(UserCursor { at, rooms, recent, requests, friends, invitations, profile: hash_of(profile)? })
    }
}

/// Hashes what a profile says of its user, and the user's settings. Presence changes with each of their sockets, and
/// clients learn it by pushes.
fn hash_of(profile: &OwnProfile) -> Result<u64> {
    let settings = serde_json::to_value(&profile.settings).map_err(Error::internal)?;
    let mut profile = serde_json::to_value(profile).map_err(Error::internal)?;
    if let Some(profile) = profile.as_object_mut() {
        profile.remove("online");
        profile.remove("lastSeenAt");
    }
    let hash = sha256(&[profile.to_string().as_bytes(), settings.to_string().as_bytes()]);
    Ok(hash.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte)))
}

/// What a client knows about its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCursor {
    at: NaiveDateTime,
    pub(crate) rooms: u64,
    recent: u64,
    pub(crate) requests: u64,
    pub(crate) friends: u64,
    pub(crate) invitations: u64,
    pub(crate) profile: u64,
}

/// The first part of a cursor. It changes with the meaning of the others.
const FORM: &str = "1";

impl UserCursor {
    /// The time after which a changed membership may be unknown to the client.
    pub(crate) fn since(&self) -> NaiveDateTime {
        self.at - OVERLAP
    }

    /// The same for the beginning of a membership, whose time is by the clock of the function that wrote it.
    pub(crate) fn joined_since(&self) -> NaiveDateTime {
        self.since() - OVERLAP
    }

    /// Whether memberships have changed since the client read them.
    pub(crate) fn has_changed_memberships(&self, state: &State) -> bool {
        self.recent != state.since
    }

    /// Whether the cursor is from the future, as after a clock was set back.
    pub(crate) fn is_ahead_of(&self, state: &State) -> bool {
        self.at > state.at + AHEAD
    }
}

impl fmt::Display for UserCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM}.{:x}", time::millis(self.at))?;
        [self.rooms, self.recent, self.requests, self.friends, self.invitations, self.profile]
            .iter()
            .try_for_each(|part| write!(f, ".{part:x}"))
    }
}

impl Serialize for UserCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The cursor that a client sends. Only the service makes cursors, and their form may change with its version.
#[derive(Clone, Debug)]
pub enum GivenCursor {
    /// A cursor of the present form.
    Known(UserCursor),
    /// A cursor of another version of the service, or of none.
    Unknown,
}

/// The most characters of a cursor of any version.
const LONGEST: usize = 256;

impl FromStr for GivenCursor {
    type Err = &'static str;

    fn from_str(cursor: &str) -> Result<Self, Self::Err> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if cursor.is_empty() || cursor.len() > LONGEST || !cursor.chars().all(is_part) {
            return Err("must be the `user` of a bootstrap, or the `next` of an earlier answer");
        }
        let parts: Option<Vec<u64>> = match cursor.split_once('.') {
            Some((FORM, parts)) => parts.split('.').map(|part| u64::from_str_radix(part, 16).ok()).collect(),
            _ => None,
        };
        let Some(&[at, rooms, recent, requests, friends, invitations, profile]) = parts.as_deref() else {
            return Ok(Self::Unknown);
        };
        Ok(time::of_millis(at).map_or(Self::Unknown, |at| {
            Self::Known(UserCursor { at, rooms, recent, requests, friends, invitations, profile })
        }))
    }
}

impl<'de> Deserialize<'de> for GivenCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fields::string(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_was_written() {
        let cursor = UserCursor {
            at: time::now(),
            rooms: u64::MAX,
            recent: 0,
            requests: 1,
            friends: 2,
            invitations: 3,
            profile: 4,
        };
        assert!(matches!(cursor.to_string().parse(), Ok(GivenCursor::Known(read)) if read == cursor));
    }

    #[test]
    fn a_cursor_of_another_version_is_unknown_and_anything_else_is_none() {
        for other in
            ["1", "0.1.2.3.4.5.6.7", "1.1.2.3.4.5.6", "1.1.2.3.4.5.6.x", "1.ffffffffffffffff.2.3.4.5.6.7"]
        {
            assert!(matches!(other.parse(), Ok(GivenCursor::Unknown)), "{other}");
        }
        for none in ["", "1 2", "ä", &"1".repeat(257)] {
            assert!(none.parse::<GivenCursor>().is_err(), "{none}");
        }
    }
}
