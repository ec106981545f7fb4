//! The people whom a list of chats shows: the other one of a direct chat, and the first members of a group
//! (`docs/contract.md`, "Chats").

use std::collections::HashMap;

use mysql_async::prelude::FromRow;
use mysql_async::{Params, Row, Value};

use crate::base::ids::{RoomId, UserId};
use crate::base::source::Source;
use crate::people::friends::are_friends;
use crate::people::presence::sees_presence;
use crate::people::profiles::{Profile, profile_columns};
use crate::{Error, Result};

/// How many members of a room are shown.
pub(crate) const SHOWN: usize = 5;

/// Selects the first members of one room; `{place}` is its place among the rooms.
const FIRST_MEMBERS: &str = "
    SELECT room_id, user_id, joined_seq FROM (
        SELECT room_id, user_id, joined_seq FROM room_members FORCE INDEX (room_members_in_order)
        WHERE room_id = :room{place} ORDER BY room_id, joined_seq, user_id LIMIT :shown) first_members";

/// Returns the profiles of the first members of each of these rooms, the oldest member first, in one statement.
///
/// # Errors
/// The database's.
pub(crate) async fn first_members(
    source: &mut Source<'_>,
    asker: &UserId,
    rooms: &[RoomId],
) -> Result<HashMap<RoomId, Vec<Profile>>> {
    let mut profiles = HashMap::<RoomId, Vec<Profile>>::new();
    if rooms.is_empty() {
        return Ok(profiles);
    }
    let places = 0..rooms.len();
    let members: Vec<_> = places.map(|place| FIRST_MEMBERS.replace("{place}", &place.to_string())).collect();
    let sql = format!(
        concat!(
            "SELECT listed.room_id, listed.joined_seq, ",
            profile_columns!(),
            " FROM ({members}) listed STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = listed.user_id"
        ),
        members = members.join(" UNION ALL ")
    );
    let mut params: HashMap<Vec<u8>, Value> = rooms
        .iter()
        .enumerate()
        .map(|(place, room)| (format!("room{place}").into_bytes(), (*room).into()))
        .collect();
    params.insert(b"asker".to_vec(), asker.into());
    params.insert(b"shown".to_vec(), SHOWN.into());
    let rows: Vec<Row> = source.rows(&sql, Params::Named(params)).await?;
    let mut found = Vec::new();
    for row in rows {
        let place: (Option<RoomId>, Option<u64>) = (row.get("room_id"), row.get("joined_seq"));
        found.push((place, Profile::from_row_opt(row).map_err(Error::internal)?));
    }
    found.sort_by(|(one, profile), (other, next)| one.cmp(other).then(profile.user_id.cmp(&next.user_id)));
    for ((room_id, _), profile) in found {
        profiles.entry(room_id.unwrap_or(RoomId(0))).or_default().push(profile);
    }
    Ok(profiles)
}
