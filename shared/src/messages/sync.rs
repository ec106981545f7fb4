//! Catching up: every message that changed after a client's cursors, and what changed about its user
//! (`docs/contract.md`, "Catching up with sync").

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};
use serde::Serialize;

use crate::base::db::{Db, places};
use crate::base::fields::{Fields, Missing, Read, WholeNumber};
use crate::base::ids::RoomId;
use crate::base::transaction::{Isolation, Transaction};
use crate::base::user::User;
use crate::messages::message::message_columns;
use crate::messages::message::{Message, MessageRow};
use crate::messages::user_changes::{self, UserChanges};
use crate::messages::user_state::GivenCursor;
use crate::{Error, Result};

/// The most rooms of one request.
const MOST_ROOMS: usize = 100;
/// The most messages of one answer. A client asks again while a room has more.
const MOST_MESSAGES: usize = 200;
/// An answer on a socket stays below 100 KB, because API Gateway accepts at most 128 KB.
pub const SOCKET_BYTES: usize = 100_000;
/// An answer over REST stays below 2 MB.
pub const REST_BYTES: usize = 2_000_000;
/// The most bytes that a room without messages takes in the answer.
const ROOM_BYTES: usize = 120;
/// The most bytes of the frame around the rooms: the event, and a `ref` of 256 bytes.
const FRAME_BYTES: usize = 320;

/// One part of so many of an answer's bytes is for what has changed about the user. The rest has room for any message.
const USERS_PART: usize = 4;

/// What to catch up with.
#[derive(Debug)]
pub struct Cursors {
    /// The rooms, each with the highest number up to which the client has seen everything.
    rooms: BTreeMap<u64, u64>,
    /// What the client knows about its user, if it asks for that too.
    user: Option<GivenCursor>,
}

impl Read for Cursors {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let user = fields.optional("user");
        let rooms = match fields.required("rooms")? {
            serde_json::Value::Object(rooms) if rooms.len() <= MOST_ROOMS => rooms,
            _ => {
                let expected =
                    format!("must be a JSON object with a cursor for each of at most {MOST_ROOMS} rooms");
                fields.wrong("rooms", expected);
                return Err(Missing);
            }
        };
        let number = |value| serde_json::from_value::<WholeNumber>(value).map(|WholeNumber(number)| number);
        let mut cursors = BTreeMap::new();
        let mut is_well_named = true;
        for (room_id, cursor) in rooms {
            match (number(room_id.into()), number(cursor)) {
                (Ok(room_id), Ok(cursor)) => _ = cursors.insert(room_id, cursor),
                (Ok(room_id), Err(_)) => {
                    fields.wrong(format!("rooms.{room_id}"), "must be a cursor, a whole number from 0");
                }
                (Err(_), _) => is_well_named = false,
            }
        }
        // The names are not repeated, since they may be of any length.
        if !is_well_named {
            fields.wrong("rooms", "must be named by room ids");
        }
        Ok(Self { rooms: cursors, user: user? })
    }
}

/// What has changed.
#[derive(Debug, Serialize)]
pub struct Changes {
    /// What changed in the rooms, by room id.
    pub rooms: BTreeMap<u64, RoomChanges>,
    /// What changed about the user, if the client asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserChanges>,
}

/// What changed in one room.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RoomChanges {
    /// The user left the room, or it was deleted, is foreign or unknown. The client forgets it.
    Gone {
        /// Always `true`.
        gone: bool,
    },
    /// A room that the asker is a member of.
    #[serde(rename_all = "camelCase")]
    Here {
        /// In their present state, ordered by `updatedSeq`.
        messages: Vec<Message>,
        /// The cursor to ask with next.
        next_seq: u64,
        /// The room's newest number.
        last_seq: u64,
        /// Whether there is more after `nextSeq`.
        has_more: bool,
    },
}

/// Returns every message of the rooms whose `updatedSeq` is newer than the cursor, oldest change first, and what has
/// changed about the user.
/// All come from one snapshot and take at most `bytes` of JSON. Each answer makes progress in at least
/// one room that has more.
///
/// # Errors
/// Any error of the database.
pub async fn changes(db: &Db, asker: &User, cursors: &Cursors, bytes: usize) -> Result<Changes> {
    db.transaction_with(Isolation::Snapshot, (asker, cursors, bytes), read).await
}

async fn read(
    transaction: &mut Transaction,
    (asker, Cursors { rooms, user }, bytes): (&User, &Cursors, usize),
) -> Result<Changes> {
    let (user, taken) = match user {
        Some(cursor) => {
            let (user, taken) = user_changes::read(transaction, asker, cursor, bytes / USERS_PART).await?;
            (Some(user), taken)
        }
        None => (None, 0),
    };
    Ok(Changes { rooms: read_rooms(transaction, asker, rooms, bytes - taken).await?, user })
}

async fn read_rooms(
    transaction: &mut Transaction,
    asker: &User,
    cursors: &BTreeMap<u64, u64>,
    bytes: usize,
) -> Result<BTreeMap<u64, RoomChanges>> {
    let mut rooms: BTreeMap<u64, RoomChanges> =
        cursors.keys().map(|&room_id| (room_id, RoomChanges::Gone { gone: true })).collect();
    if cursors.is_empty() {
        return Ok(rooms);
    }
    let places = places(cursors.len());
    let mut params: Vec<Value> = vec![(&asker.user_id).into()];
    params.extend(cursors.keys().map(|&room_id| Value::from(room_id)));
    // `read_seq` is not used. Without a column besides the key, MySQL may scan the key of all memberships.
    let mine: Vec<(u64, u64, u64)> = transaction
        .exec(
            format!(
                "SELECT r.id, r.last_seq, m.read_seq FROM room_members m FORCE INDEX (PRIMARY)
                 STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = m.room_id
                 WHERE m.user_id = ? AND m.room_id IN ({places})"
            ),
            params,
        )
        .await?;
    let mut behind = Vec::new();
    for (room_id, last_seq, _) in mine {
        let cursor = cursors.get(&room_id).copied().unwrap_or_default();
        // A cursor from the future, as after a restored backup, is set back to the room's newest number.
        if cursor < last_seq {
            behind.push((room_id, cursor));
        }
        let here = RoomChanges::Here { messages: Vec::new(), next_seq: last_seq, last_seq, has_more: false };
        rooms.insert(room_id, here);
    }
    if behind.is_empty() {
        return Ok(rooms);
    }

    // Each room is one range of the key (room_id, updated_seq), read in the key's order. The server stops
    // at the limit, however much there is. If it began with the senders, it would read and sort it all.
    let ranges = vec!["(x.room_id = ? AND x.updated_seq > ?)"; behind.len()].join(" OR ");
    let mut params: Vec<Value> = vec![(&asker.user_id).into()];
    params.extend(behind.iter().flat_map(|&(room_id, cursor)| [Value::from(room_id), cursor.into()]));
    params.push((MOST_MESSAGES + 1).into());
    let found: Vec<MessageRow> = transaction
        .exec(
            format!(
                concat!(
                    "SELECT ",
                    message_columns!("?"),
                    " FROM messages x FORCE INDEX (messages_updated_seq)
                     STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = x.sender_id
                     WHERE {ranges} ORDER BY x.room_id, x.updated_seq LIMIT ?"
                ),
                ranges = ranges
            ),
            Params::Positional(params),
        )
        .await?;

    let mut left = bytes.saturating_sub(ROOM_BYTES * rooms.len() + FRAME_BYTES);
    let mut cut = None;
    for (taken, row) in found.into_iter().enumerate() {
        let message = row.message();
        let size = serde_json::to_vec(&message).map_err(Error::internal)?.len() + 1;
        if taken == MOST_MESSAGES || size > left {
            cut = Some(message.room_id);
            break;
        }
        left -= size;
        if let Some(RoomChanges::Here { messages, .. }) = rooms.get_mut(&message.room_id.0) {
            messages.push(message);
        }
    }
    // In the room where the answer was cut off and all later ones, more follows what was taken, or the
    // cursor.
    if let Some(RoomId(cut)) = cut {
        for &(room_id, cursor) in behind.iter().filter(|&&(room_id, _)| room_id >= cut) {
            if let Some(RoomChanges::Here { messages, next_seq, has_more, .. }) = rooms.get_mut(&room_id) {
                *next_seq = messages.last().map_or(cursor, |message| message.updated_seq);
                *has_more = true;
            }
        }
    }
    Ok(rooms)
}
