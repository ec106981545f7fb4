//! Whom messages mention (`docs/contract.md`, "Mentions").
//!
//! A message has the users that it names, in the form that is shown. The table `mentions` has a row for each of them but
//! the sender, and one for everybody if the message mentions all. Both change in one transaction that has locked the room.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{FromRowError, Row, Value, params};
use serde::{Deserialize, Deserializer, de};

use crate::base::db::{Db, places, rows};
use crate::base::ids::{RoomId, UserId};
use crate::base::page::{Place, Slice, Sliced};
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::messages::message::{Message, MessageId, MessageRow, message_columns};
use crate::people::users::UserIds;
use crate::rooms::room::{RoomKind, RoomRole};
use crate::{Error, Result};

/// The most users that a message names.
const MOST: usize = 20;
/// Stands for everybody in the room.
const EVERYBODY: &str = "*";

/// The users whom a request mentions: each once, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions(pub(crate) Vec<UserId>);

impl<'de> Deserialize<'de> for Mentions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let UserIds(user_ids) = UserIds::deserialize(deserializer)?;
        match user_ids.len() <= MOST {
            true => Ok(Self(user_ids)),
            false => Err(de::Error::custom(format!("must be at most {MOST} userIds"))),
        }
    }
}

impl Mentions {
    /// Returns what is stored with a message; `None` when it names nobody.
    pub(crate) fn to_store(&self) -> Result<Option<String>> {
        match self.0.is_empty() {
            true => Ok(None),
            false => serde_json::to_string(&self.0).map(Some).map_err(Error::internal),
        }
    }
}

/// Checks whether a member of a room may mention all. In a direct chat that is one other user, and both may.
///
/// # Errors
/// [`Error::RoomRoleRequired`].
pub(crate) fn check_role(kind: RoomKind, role: RoomRole) -> Result<()> {
    match role == RoomRole::Member && kind != RoomKind::Direct {
        true => Err(Error::RoomRoleRequired("owner and moderators")),
        false => Ok(()),
    }
}

/// What is wrong with a mention of somebody who is no member of the room.
pub(crate) fn no_member(user_id: &UserId) -> String {
    format!("names {user_id}, who is no member of the room")
}

/// Returns those of these users who are members of the rooms, which the caller has locked, with one statement if there are
/// any.
///
/// # Errors
/// The database's.
pub(crate) async fn members<'a>(
    transaction: &mut Transaction,
    named: impl Iterator<Item = (RoomId, &'a Mentions)>,
) -> Result<BTreeSet<(RoomId, UserId)>> {
    let mut by_room = BTreeMap::<RoomId, BTreeSet<&UserId>>::new();
    for (room_id, Mentions(user_ids)) in named.filter(|(_, mentions)| !mentions.0.is_empty()) {
        by_room.entry(room_id).or_default().extend(user_ids);
    }
    if by_room.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (mut ranges, mut params) = (Vec::new(), Vec::new());
    for (room_id, user_ids) in by_room {
        // Lengths are powers of two, so that the server prepares few statements.
        let count = user_ids.len().next_power_of_two();
        ranges.push(format!("(room_id = ? AND user_id IN ({}))", places(count)));
        params.push(room_id.into());
        let last = user_ids.last().map(|user_id| Value::from(*user_id)).unwrap_or(Value::NULL);
        let repeated = std::iter::repeat_n(last, count - user_ids.len());
        params.extend(user_ids.iter().map(|user_id| Value::from(*user_id)).chain(repeated));
    }
    let sql = format!(
        "SELECT room_id, user_id FROM room_members FORCE INDEX (PRIMARY) WHERE {} LOCK IN SHARE MODE",
        ranges.join(" OR ")
    );
    Ok(transaction.exec::<(RoomId, UserId), _, _>(sql, params).await?.into_iter().collect())
}

/// A message whose mentions are stored.
pub(crate) struct Mentioning<'a> {
    pub(crate) id: MessageId,
    pub(crate) sender_id: &'a UserId,
    pub(crate) created_at: NaiveDateTime,
    pub(crate) mentions: &'a Mentions,
    pub(crate) mentions_all: bool,
}

/// Stores the mentions of new messages, with one statement if there are any.
///
/// # Errors
/// The database's.
pub(crate) async fn insert<'a>(
    transaction: &mut Transaction,
    messages: impl Iterator<Item = Mentioning<'a>>,
) -> Result<()> {
    let mut params: Vec<Value> = Vec::new();
    let mut count = 0;
    for Mentioning { id, sender_id, created_at, mentions, mentions_all } in messages {
        let others = mentions.0.iter().filter(|user_id| *user_id != sender_id).map(UserId::as_str);
        for user_id in others.chain(mentions_all.then_some(EVERYBODY)) {
            params.extend([
                id.room_id.into(),
                id.seq.into(),
                user_id.into(),
                sender_id.into(),
                created_at.into(),
            ]);
            count += 1;
        }
    }
    if count == 0 {
        return Ok(());
    }
    let values = rows("(?, ?, ?, ?, ?)", count);
    let sql = format!("INSERT INTO mentions (room_id, seq, user_id, sender_id, created_at) VALUES {values}");
    Ok(transaction.exec_drop(sql, params).await?)
}

/// Replaces the mentions of a message that is edited, after it has checked that whoever is mentioned anew is a member.
///
/// # Errors
/// A 400 that names `mentions`.
pub(crate) async fn replace(
    transaction: &mut Transaction,
    old: &Mentions,
    new: Mentioning<'_>,
) -> Result<()> {
    let room_id = new.id.room_id;
    let added = Mentions(new.mentions.0.iter().filter(|user_id| !old.0.contains(user_id)).cloned().collect());
    if !added.0.is_empty() {
        let members = members(transaction, std::iter::once((room_id, &added))).await?;
        if let Some(missing) =
            added.0.into_iter().find(|user_id| !members.contains(&(room_id, user_id.clone())))
        {
            return Err(Error::invalid("mentions", no_member(&missing)));
        }
    }
    forget(transaction, new.id).await?;
    insert(transaction, std::iter::once(new)).await
}

/// Deletes the mentions of a message.
///
/// # Errors
/// The database's.
pub(crate) async fn forget(transaction: &mut Transaction, id: MessageId) -> Result<()> {
    let sql = "DELETE FROM mentions WHERE room_id = ? AND seq = ?";
    Ok(transaction.exec_drop(sql, (id.room_id, id.seq)).await?)
}

/// The most unread mentions of a room that are counted.
pub(crate) const MOST_UNREAD: u64 = 100;
/// How many mentions are looked at to count them: those of all by the member are among them.
const MOST_LOOKED_AT: u64 = 200;

/// A `SELECT` that counts a member's mentions by others in a range of a room's numbers, and its parameters. The count
/// comes with `{place}`. `created_at` is not used: without a column besides the key, MySQL may read the whole key.
pub(crate) fn unread(user_id: &UserId, room_id: RoomId, after: u64, last: u64) -> (&'static str, [Value; 7]) {
    let sql = "SELECT {place}, TRUE, COUNT(DISTINCT seq), NULL FROM (
                   SELECT seq, sender_id, created_at FROM mentions FORCE INDEX (mentions_unread)
                   WHERE user_id IN (?, ?) AND room_id = ? AND seq > ? AND seq <= ? LIMIT ?) mentioned
               WHERE sender_id <> ?";
    let params = [
        user_id.into(),
        EVERYBODY.into(),
        room_id.into(),
        after.into(),
        last.into(),
        MOST_LOOKED_AT.into(),
        user_id.into(),
    ];
    (sql, params)
}

/// The most messages of one part of the list.
const MOST_LISTED: u64 = 100;
/// The most bytes of its messages. With everything around them, the answer stays below 2 MB.
const MOST_BYTES: usize = 2_000_000 - 100;

/// A mention in the list, and its message if the user is in the room.
struct Listed {
    created_at: NaiveDateTime,
    id: MessageId,
    message: Option<Message>,
}

impl FromRow for Listed {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        let key = (row.get("page_created_at"), row.get("page_room_id"), row.get("page_seq"));
        let (Some(created_at), Some(room_id), Some(seq)) = key else { return Err(FromRowError(row)) };
        let is_seen = row.get::<Option<u64>, _>("seq").flatten().is_some();
        let message = is_seen.then(|| MessageRow::from_row_opt(row).map(MessageRow::message)).transpose()?;
        Ok(Self { created_at, id: MessageId { room_id, seq }, message })
    }
}

impl Listed {
    fn place(&self) -> Place {
        Place::new(time::millis(self.created_at), format_args!("{}-{}", self.id.room_id.0, self.id.seq))
    }
}

/// Returns a part of the messages that mention a user by name in the rooms that they are in, the newest first. A part has
/// fewer messages if some are in rooms that the user has left.
///
/// # Errors
/// The database's errors. A 400 for a place that is none in this list.
pub async fn list(db: &Db, user: &User, slice: &Slice<MOST_LISTED>) -> Result<Sliced<Message>> {
    let (created_at, MessageId { room_id, seq }) = match &slice.after {
        Some(place) => {
            let created_at = time::of_millis(place.number);
            created_at.zip(MessageId::parse(&place.text)).ok_or_else(Place::wrong)?
        }
        // Before it are all.
        None => (time::end(), MessageId { room_id: RoomId(0), seq: 0 }),
    };
    // The mentions are first a list of keys, so that the server stops at the limit, whatever rooms they are in. Their
    // sender is not used: without a column besides the key, MySQL may read the whole key.
    let mut found: Vec<Listed> = db
        .rows(
            concat!(
                "SELECT page.room_id AS page_room_id, page.seq AS page_seq, page.created_at AS page_created_at, ",
                message_columns!(":user_id"),
                " FROM (SELECT t.room_id, t.seq, t.created_at, t.sender_id FROM mentions t FORCE INDEX (mentions_newest)
                        WHERE t.user_id = :user_id AND t.created_at <= :created_at
                          AND (t.created_at < :created_at OR t.room_id < :room_id
                               OR (t.room_id = :room_id AND t.seq < :seq))
                        ORDER BY t.created_at DESC, t.room_id DESC, t.seq DESC LIMIT :rows) page
                 LEFT JOIN room_members m FORCE INDEX (PRIMARY)
                   ON m.room_id = page.room_id AND m.user_id = :user_id
                 LEFT JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = m.room_id AND x.seq = page.seq
                 LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id"
            ),
            params! { "user_id" => &user.user_id, created_at, room_id, seq, "rows" => slice.rows() },
        )
        .await?;
    found.sort_unstable_by_key(|listed| Reverse((listed.created_at, listed.id.room_id, listed.id.seq)));
    let mut part = slice.of(found, Listed::place);
    let (mut bytes, mut last, mut messages) = (0, None, Vec::new());
    for listed in part.rows {
        let place = listed.place();
        if let Some(message) = listed.message {
            bytes += serde_json::to_vec(&message).map_err(Error::internal)?.len() + 1;
            if bytes > MOST_BYTES {
                part.next = last;
                break;
            }
            messages.push(message);
        }
        last = Some(place);
    }
    Ok(Sliced { rows: messages, next: part.next })
}
