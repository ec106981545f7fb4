//! Stores messages: a batch of them in one transaction, with as many statements as for one message
//! (`docs/contract.md`, "Messages", "Order and numbers" and "Repeatable sends").
//!
//! The rooms are locked first. What decides about a message is read after that, and is locked too, so that nothing
//! commits once a logout or a removal has been answered. Each message is then decided by itself: a refused one takes
//! no number and does not touch the others.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, Value};

use crate::Result;
use crate::base::db::{padded, rows};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::rate_limit::Count;
use crate::base::time;
use crate::config::{Limit, Limits};
use crate::error::Standing;
use crate::messages::draft::{Draft, Sender};
use crate::messages::posts::PostsCount;
use crate::rooms::room::RoomKind;

/// A message that is to be stored, with its sender.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    /// The session of a sender over REST.
    session_id: Option<String>,
    /// The socket of a sender by frame.
    connection_id: Option<ConnectionId>,
    pub(crate) draft: Draft,
    body_hash: Option<Vec<u8>>,
}

impl NewMessage {
    pub(crate) fn new(sender: Sender<'_>, draft: Draft) -> Self {
        let body_hash = draft.client_message_id.as_ref().map(|_| draft.body_hash());
        let (session_id, connection_id) = match sender {
            Sender::User(user) => (Some(user.session_id.clone()), None),
            Sender::Socket(connection_id) => (None, Some(connection_id.clone())),
        };
        Self { session_id, connection_id, draft, body_hash }
    }

    /// What distinguishes one sender's messages from the others'.
    pub(crate) fn sender(&self) -> &str {
        self.session_id
            .as_deref()
            .or(self.connection_id.as_ref().map(ConnectionId::as_str))
            .unwrap_or_default()
    }
}

/// Messages that are stored together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) messages: &'a [NewMessage],
    /// `None` for a message that was counted before.
    pub(crate) limits: Option<&'a Limits>,
    /// Whether to wait for rooms that another transaction has locked, instead of leaving out their messages.
    pub(crate) waits: bool,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was stored.
    Stored(Stored),
    /// The sender may not send it to this room, or not at all.
    NotAllowed,
    /// It was refused for this reason, and is not counted.
    Refused(UserId, Refusal),
    /// The sender's window of `MESSAGE_LIMIT` has no row that could be locked.
    NoWindow(UserId),
    /// There is no such room, or another transaction has locked it.
    NoRoom,
}

/// Where and when a message was stored, and its sender.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) created_at: NaiveDateTime,
    pub(crate) user_id: UserId,
    pub(crate) name: String,
}

/// Why a message was refused to somebody who may send to the room.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its `userId` is somebody else's.
    IdentityMismatch,
    /// `MESSAGE_LIMIT`.
    MessageLimit(Standing),
    /// `ROOM_POSTS_LIMIT`.
    PostsLimit(Standing),
    /// It replies to no message of the room.
    NoSuchReply,
    /// The sender has already used its `clientMessageId` in this room.
    SentBefore,
}

/// Stores those messages of a batch that may be sent, and counts them and their posts. Returns what became of each
/// message, in order.
///
/// # Errors
/// The database's. Then nothing is stored.
pub(crate) async fn store(transaction: &mut Transaction<'static>, batch: Batch<'_>) -> Result<Vec<Outcome>> {
    let mut rooms = lock_rooms(transaction, batch).await?;
    let (mut outcomes, mut asked) = (Vec::with_capacity(batch.messages.len()), Vec::new());
    for (place, message) in batch.messages.iter().enumerate() {
        let room = rooms.get(&message.draft.room_id);
        let is_asked = room.is_some_and(|room| message.draft.only.is_none_or(|only| only == room.kind));
        outcomes.push(if room.is_some() { Outcome::NotAllowed } else { Outcome::NoRoom });
        if is_asked {
            asked.push((place, message));
        }
    }
    let created_at = time::now();
    if !asked.is_empty() {
        let limit = batch.limits.and_then(|limits| limits.message);
        let found = find_senders(transaction, &asked, limit.is_some()).await?;
        let mut counts = Counts::now(batch.limits);
        let mut new = Vec::with_capacity(found.len());
        // Of those that are stored here: what is refused does not use its id up.
        let mut ids = HashSet::new();
        for mut sender in found {
            let Some(message) = batch.messages.get(sender.place) else { continue };
            let Some(room) = rooms.get_mut(&message.draft.room_id) else { continue };
            let id = message.draft.client_message_id.as_ref();
            let id = id.map(|id| (room.id, sender.user_id.clone(), id.as_str()));
            sender.is_sent |= id.as_ref().is_some_and(|id| ids.contains(id));
            outcomes[sender.place] = match counts.decide(message, &sender, room) {
                Ok(seq) => {
                    ids.extend(id);
                    let Found { user_id, name, .. } = sender;
                    new.push((message, seq, user_id.clone()));
                    Outcome::Stored(Stored { seq, created_at, user_id, name })
                }
                Err(outcome) => outcome,
            };
        }
        if !new.is_empty() {
            insert(transaction, &new, created_at).await?;
            advance(transaction, rooms.values().filter(|room| room.is_changed), &counts.tallies, created_at)
                .await?;
        }
    }
    Ok(outcomes)
}

/// The row of a room, as far as sending changes it.
#[derive(Debug, FromRow)]
struct Room {
    id: RoomId,
    kind: RoomKind,
    last_seq: u64,
    posts_tally: u64,
    audience: u32,
    is_changed: bool,
}

/// Locks the rooms of a batch, in the order of their ids.
///
/// The index is forced, since a scan of a small table would lock all its rooms.
async fn lock_rooms(
    transaction: &mut Transaction<'static>,
    batch: Batch<'_>,
) -> Result<HashMap<RoomId, Room>> {
    let mut ids: Vec<RoomId> = batch.messages.iter().map(|message| message.draft.room_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let sql = format!(
        "SELECT id, kind, last_seq, posts_tally, audience, FALSE AS is_changed FROM rooms FORCE INDEX (PRIMARY)
         WHERE id IN ({}) ORDER BY id FOR UPDATE{}",
        rows("?", ids.len().next_power_of_two()),
        if batch.waits { "" } else { " SKIP LOCKED" }
    );
    let rooms: Vec<Room> = transaction.exec(sql, padded(&ids)).await?;
    Ok(rooms.into_iter().map(|room| (room.id, room)).collect())
}

/// A sender who may send to the room, and what decides about the message.
#[derive(Debug, FromRow)]
struct Found {
    place: usize,
    user_id: UserId,
    name: String,
    /// The sender's window of `MESSAGE_LIMIT`, if it has a row.
    tally: Option<u64>,
    /// Whether the sender has sent a message with this `clientMessageId` to the room.
    is_sent: bool,
    has_reply_to: bool,
}

/// Finds the users of the sessions and sockets who are members of the rooms, and locks the rows that say so.
///
/// The window comes last, because whoever holds its lock waits for no other room. It alone is locked for a change: a
/// lock that is shared first and then exclusive would deadlock with another like it. The other subqueries lock nothing.
/// They read a snapshot that is younger than the locks of the rooms, so it contains all earlier messages.
async fn find_senders(
    transaction: &mut Transaction<'static>,
    messages: &[(usize, &NewMessage)],
    is_limited: bool,
) -> Result<Vec<Found>> {
    let window = Value::from(is_limited.then_some("message"));
    let (sql, params) = match messages {
        [(place, message)] => sender_of_one(*place, message, window),
        messages => senders_of_many(messages, window),
    };
    let mut found: Vec<Found> = transaction.exec(sql, params).await?;
    found.sort_unstable_by_key(|sender| sender.place);
    Ok(found)
}

/// The columns of [`Found`] but the place. Its parameter is the name of the window; `client_message_id` and
/// `reply_to_seq` are expressions.
macro_rules! found_columns {
    ($client_message_id:literal, $reply_to_seq:literal) => {
        concat!(
            "m.user_id,
             (SELECT l.tally FROM rate_limits l FORCE INDEX (PRIMARY)
              WHERE l.name = ? AND l.subject = m.user_id FOR UPDATE) AS tally,
             (SELECT u.name FROM users u WHERE u.user_id = m.user_id) AS name,
             EXISTS (SELECT 1 FROM messages x WHERE x.room_id = m.room_id AND x.sender_id = m.user_id
                     AND x.client_message_id = CAST(",
            $client_message_id,
            " AS BINARY)) AS is_sent, ",
            $reply_to_seq,
            " IS NULL OR EXISTS (SELECT 1 FROM messages p WHERE p.room_id = m.room_id AND p.seq = ",
            $reply_to_seq,
            ") AS has_reply_to"
        )
    };
}

/// Finds the sender of one message. With a list of one, the derived table would cost the server more than the rest.
fn sender_of_one(place: usize, message: &NewMessage, window: Value) -> (String, Vec<Value>) {
    let NewMessage { session_id, connection_id, draft, .. } = message;
    let sender = match session_id {
        Some(_) => "sessions s FORCE INDEX (PRIMARY)",
        None => "connections s FORCE INDEX (PRIMARY)",
    };
    let is_signed_in = match session_id {
        Some(_) => "s.session_id = ? AND s.revoked_at IS NULL",
        None => "s.connection_id = ? AND s.expires_at > UTC_TIMESTAMP(3)",
    };
    let sql = format!(
        concat!(
            "SELECT CAST(? AS UNSIGNED) AS place, ",
            found_columns!("?", "?"),
            " FROM {sender}
              STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = ? AND m.user_id = s.user_id
              WHERE {is_signed_in} LOCK IN SHARE MODE"
        ),
        sender = sender,
        is_signed_in = is_signed_in
    );
    let reply_to_seq = Value::from(draft.reply_to.map(|reply_to| reply_to.seq));
    let params = vec![
        place.into(),
        window,
        draft.client_message_id.as_ref().into(),
        reply_to_seq.clone(),
        reply_to_seq,
        draft.room_id.into(),
        session_id.as_deref().or(connection_id.as_ref().map(ConnectionId::as_str)).into(),
    ];
    (sql, params)
}

fn senders_of_many(messages: &[(usize, &NewMessage)], window: Value) -> (String, Vec<Value>) {
    let asked = "SELECT CAST(? AS UNSIGNED) AS place, CAST(? AS UNSIGNED) AS room_id,
                        CAST(? AS CHAR(64)) AS session_id, CAST(? AS CHAR(64)) AS connection_id,
                        CAST(? AS CHAR(64)) AS client_message_id, CAST(? AS UNSIGNED) AS reply_to_seq";
    // Lengths are powers of two, so that the server prepares few statements.
    let count = messages.len().next_power_of_two();
    let sql = format!(
        concat!(
            "SELECT k.place, ",
            found_columns!("k.client_message_id", "k.reply_to_seq"),
            " FROM ({asked}) k
              LEFT JOIN sessions s FORCE INDEX (PRIMARY) ON s.session_id = k.session_id AND s.revoked_at IS NULL
              LEFT JOIN connections c FORCE INDEX (PRIMARY) ON c.connection_id = k.connection_id
                     AND c.expires_at > UTC_TIMESTAMP(3)
              STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = k.room_id
                     AND m.user_id = COALESCE(s.user_id, c.user_id)
              LOCK IN SHARE MODE"
        ),
        asked = vec![asked; count].join(" UNION ALL ")
    );
    let mut params: Vec<Value> = Vec::with_capacity(1 + 6 * count);
    params.push(window);
    for (place, NewMessage { session_id, connection_id, draft, .. }) in messages {
        params.extend([
            place.into(),
            draft.room_id.into(),
            session_id.into(),
            connection_id.as_ref().into(),
            draft.client_message_id.as_ref().into(),
            draft.reply_to.map(|reply_to| reply_to.seq).into(),
        ]);
    }
    params.resize(1 + 6 * count, Value::NULL);
    (sql, params)
}

/// The limits, and how much of them the messages so far have used.
struct Counts {
    message: Option<(Limit, Count)>,
    posts: PostsCount,
    /// The windows of `MESSAGE_LIMIT` of the senders whose messages are stored.
    tallies: HashMap<UserId, u64>,
}

impl Counts {
    fn now(limits: Option<&Limits>) -> Self {
        Self {
            message: limits.and_then(|limits| limits.message).map(|limit| (limit, Count::now(limit))),
            posts: PostsCount::now(limits.and_then(|limits| limits.room_posts)),
            tallies: HashMap::new(),
        }
    }

    /// Takes the number of a member's message and its places in the limits, unless it is refused.
    fn decide(&mut self, message: &NewMessage, sender: &Found, room: &mut Room) -> Result<u64, Outcome> {
        let user_id = &sender.user_id;
        let refused = |refusal| Err(Outcome::Refused(user_id.clone(), refusal));
        if message.draft.user_id.as_ref().is_some_and(|given| given != user_id) {
            return refused(Refusal::IdentityMismatch);
        }
        let mut counted = None;
        if let Some((limit, count)) = &self.message {
            let Some(tally) = self.tallies.get(user_id).copied().or(sender.tally) else {
                return Err(Outcome::NoWindow(user_id.clone()));
            };
            if count.used(tally) >= limit.count {
                return refused(Refusal::MessageLimit(count.standing(*limit, tally)));
            }
            counted = Some(if tally < count.closed { count.fresh } else { tally + 1 });
        }
        if let Some(standing) = self.posts.refusal(room.posts_tally, room.audience) {
            return refused(Refusal::PostsLimit(standing));
        }
        if !sender.has_reply_to {
            return refused(Refusal::NoSuchReply);
        }
        if sender.is_sent {
            return refused(Refusal::SentBefore);
        }
        if let Some(counted) = counted {
            self.tallies.insert(user_id.clone(), counted);
        }
        room.posts_tally = self.posts.counted(room.posts_tally, room.audience);
        room.last_seq += 1;
        room.is_changed = true;
        Ok(room.last_seq)
    }
}

async fn insert(
    transaction: &mut Transaction<'static>,
    messages: &[(&NewMessage, u64, UserId)],
    now: NaiveDateTime,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, is_encrypted,
                               client_message_id, body_hash, reply_to_seq, created_at)
         VALUES {}",
        rows("(?, ?, ?, 'text', ?, ?, ?, ?, ?, ?, ?)", messages.len())
    );
    let mut params: Vec<Value> = Vec::with_capacity(10 * messages.len());
    for (NewMessage { draft, body_hash, .. }, seq, user_id) in messages {
        params.extend([
            draft.room_id.into(),
            seq.into(),
            seq.into(),
            user_id.into(),
            (&draft.content).into(),
            draft.is_encrypted.into(),
            draft.client_message_id.as_ref().into(),
            body_hash.as_ref().into(),
            draft.reply_to.map(|reply_to| reply_to.seq).into(),
            now.into(),
        ]);
    }
    Ok(transaction.exec_drop(sql, params).await?)
}

/// Writes the rooms' numbers and posts, and the senders' windows, whose rows are all locked.
async fn advance<'a>(
    transaction: &mut Transaction<'static>,
    rooms: impl Iterator<Item = &'a Room>,
    tallies: &HashMap<UserId, u64>,
    now: NaiveDateTime,
) -> Result<()> {
    let rooms: Vec<&Room> = rooms.collect();
    let windows: Vec<(&UserId, &u64)> = tallies.iter().collect();
    let (sql, params) = match (&rooms[..], &windows[..]) {
        ([room], [] | [_]) => advance_one(room, windows.first().copied(), now),
        (rooms, windows) => advance_many(rooms, windows, now),
    };
    Ok(transaction.exec_drop(sql, params).await?)
}

/// Advances one room and at most one window, without the costs of a derived table.
fn advance_one(room: &Room, window: Option<(&UserId, &u64)>, now: NaiveDateTime) -> (String, Vec<Value>) {
    let sql = "UPDATE rooms r FORCE INDEX (PRIMARY)
               LEFT JOIN rate_limits l FORCE INDEX (PRIMARY) ON l.name = 'message' AND l.subject = ?
               SET r.last_seq = ?, r.posts_tally = ?, r.updated_at = ?, l.tally = ? WHERE r.id = ?";
    let params = vec![
        window.map(|(user_id, _)| user_id).into(),
        room.last_seq.into(),
        room.posts_tally.into(),
        now.into(),
        window.map(|(_, tally)| tally).into(),
        room.id.into(),
    ];
    (sql.to_owned(), params)
}

/// Advances rooms and windows. The two have nothing to do with each other but the statement: each row of `k` has a room,
/// or a window, or both.
fn advance_many(rooms: &[&Room], windows: &[(&UserId, &u64)], now: NaiveDateTime) -> (String, Vec<Value>) {
    let count = rooms.len().max(windows.len()).next_power_of_two();
    let changed = "SELECT CAST(? AS UNSIGNED) AS room_id, CAST(? AS UNSIGNED) AS last_seq,
                          CAST(? AS UNSIGNED) AS posts_tally,
                          CAST(? AS CHAR(64)) AS user_id, CAST(? AS UNSIGNED) AS tally";
    let sql = format!(
        "UPDATE ({}) k
         LEFT JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.room_id
         LEFT JOIN rate_limits l FORCE INDEX (PRIMARY) ON l.name = 'message' AND l.subject = k.user_id
         SET r.last_seq = k.last_seq, r.posts_tally = k.posts_tally, r.updated_at = ?, l.tally = k.tally",
        vec![changed; count].join(" UNION ALL ")
    );
    let (mut rooms, mut windows) = (rooms.iter(), windows.iter());
    let mut params: Vec<Value> = Vec::with_capacity(5 * count + 1);
    for _ in 0..count {
        let (room, window) = (rooms.next(), windows.next());
        params.extend([
            room.map(|room| room.id).into(),
            room.map(|room| room.last_seq).into(),
            room.map(|room| room.posts_tally).into(),
            window.map(|(user_id, _)| user_id).into(),
            window.map(|(_, tally)| tally).into(),
        ]);
    }
    params.push(now.into());
    (sql, params)
}
