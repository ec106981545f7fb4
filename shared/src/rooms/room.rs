//! Rooms: one type for all four kinds, which differ in how users join (`docs/contract.md`, "Rooms").

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, Value, params};
use serde::{Deserialize, Deserializer, Serialize, de};
use strum::{EnumString, IntoStaticStr};

use crate::base::db::{Db, rows, text_column};
use crate::base::fields;
use crate::base::ids::{RoomId, UserId};
use crate::base::rate_limit::{self, Limited};
use crate::base::text::{name, text_type};
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::config::Limits;
use crate::error::Thing;
use crate::{Error, Result};

text_type!(
    /// A room's name: 1 to 100 characters.
    RoomName, |text| name(text, 1..=100)
);

/// The kind of a room, which decides how users join it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RoomKind {
    /// Created by a prime user and joined with its password. At most 6 members.
    Prime,
    /// Open to the organization. At most 1000 members.
    Channel,
    /// Its owner and moderators add the members. At most 256 members.
    Group,
    /// Two users.
    Direct,
}

text_column!(RoomKind);

impl<'de> Deserialize<'de> for RoomKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kind = fields::string(deserializer)?.parse();
        kind.map_err(|_| de::Error::custom("must be `prime`, `channel`, `group` or `direct`"))
    }
}

/// A role in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RoomRole {
    /// Every room with members has exactly one.
    Owner,
    /// Appointed by the owner.
    Moderator,
    /// Everybody else.
    Member,
}

text_column!(RoomRole);

/// A room as clients see it.
#[derive(Clone, Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Room {
    pub id: RoomId,
    pub kind: RoomKind,
    pub name: String,
    pub topic: Option<String>,
    pub slow_mode_seconds: u32,
    pub capacity: u32,
    pub member_count: u32,
    pub created_by: UserId,
    pub organization_id: u64,
    pub last_seq: u64,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    #[serde(serialize_with = "time::serialize")]
    pub updated_at: NaiveDateTime,
    pub avatar_url: Option<String>,
}

/// The columns of a [`Room`].
pub(crate) const COLUMNS: &str =
    "id, kind, name, topic, slow_mode_seconds, capacity, member_count, created_by, organization_id, last_seq,
     CONCAT('/avatars/', avatar_key) AS avatar_url, created_at, updated_at";

/// Selects the name of the room `$room` as it is now: a direct chat has the names that its two users have now, and not
/// those that they had when it began. `$kind` and `$name` are SQL for what is stored.
macro_rules! present_name {
    ($room:literal, $kind:literal, $name:literal) => {
        concat!(
            "IF(",
            $kind,
            " = 'direct',
                (SELECT CONCAT(LEFT(creator.name, 48), ' & ', LEFT(other.name, 48))
                 FROM direct_chats d FORCE INDEX (direct_chats_room_id)
                 STRAIGHT_JOIN users creator FORCE INDEX (PRIMARY) ON creator.user_id = ",
            $room,
            ".created_by
                 STRAIGHT_JOIN users other FORCE INDEX (PRIMARY)
                   ON other.user_id = IF(d.lesser_id = ",
            $room,
            ".created_by, d.greater_id, d.lesser_id)
                 WHERE d.room_id = ",
            $room,
            ".id), ",
            $name,
            ")"
        )
    };
}
pub(crate) use present_name;

/// Returns a room to its members, or a channel to anybody of its organization.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such room, and [`Error::NotAMember`].
pub async fn read(db: &Db, asker: &User, room_id: RoomId) -> Result<Room> {
    let row: Option<Row> = db
        .first(
            &format!(
                concat!(
                    "SELECT {COLUMNS}, ",
                    present_name!("r", "r.kind", "r.name"),
                    " AS present_name,
                     EXISTS (SELECT 1 FROM room_members m
                             WHERE m.room_id = r.id AND m.user_id = :user_id) AS is_member
                     FROM rooms r WHERE id = :room_id AND organization_id = :organization_id"
                ),
                COLUMNS = COLUMNS
            ),
            params! { "user_id" => &asker.user_id, room_id, "organization_id" => asker.organization_id },
        )
        .await?;
    let row = row.ok_or(Error::NotFound(Thing::Room))?;
    let is_member = row.get("is_member").unwrap_or(false);
    let name = row.get("present_name").unwrap_or_default();
    let room = Room { name, ..Room::from_row_opt(row).map_err(Error::internal)? };
    if is_member || room.kind == RoomKind::Channel { Ok(room) } else { Err(Error::NotAMember) }
}

/// Locks a room of an organization until the transaction ends. Every change in a room takes this lock
/// first.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such room.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    organization_id: u64,
    room_id: RoomId,
) -> Result<Room> {
    let room: Option<Room> = transaction
        .exec_first(
            format!("SELECT {COLUMNS} FROM rooms WHERE id = ? AND organization_id = ? FOR UPDATE"),
            (room_id, organization_id),
        )
        .await?;
    room.ok_or(Error::NotFound(Thing::Room))
}

/// A room about to be created with all its members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRoom<'a> {
    pub(crate) kind: RoomKind,
    pub(crate) name: &'a str,
    /// The hash of the password. Only a prime room has one.
    pub(crate) password_hash: Option<&'a str>,
    pub(crate) capacity: u32,
    /// The user who creates the room and owns it.
    pub(crate) creator: &'a User,
    /// The other members, each once.
    pub(crate) others: &'a [&'a UserId],
    /// The limits, of which `ROOM_LIMIT` counts the room.
    pub(crate) limits: &'a Limits,
}

/// Creates a room with its first members. No system messages are written for them. The caller has locked
/// the organization and then these users.
///
/// # Errors
/// [`Error::RateLimited`] after `ROOM_LIMIT`.
pub(crate) async fn insert(transaction: &mut Transaction, new: NewRoom<'_>) -> Result<Room> {
    let NewRoom { kind, name, password_hash, capacity, creator, others, limits } = new;
    rate_limit::count_done(transaction, limits, Limited::Room(&creator.user_id), 1).await?;
    let now = time::now();
    let member_count = others.len() as u32 + 1;
    transaction
        .exec_drop(
            "INSERT INTO rooms (organization_id, kind, name, password_hash, capacity, member_count, created_by,
                                created_at, updated_at)
             VALUES (:organization_id, :kind, :name, :password_hash, :capacity, :member_count, :creator, :now, :now)",
            params! {
                "organization_id" => creator.organization_id,
                kind,
                name,
                password_hash,
                capacity,
                member_count,
                "creator" => &creator.user_id,
                now,
            },
        )
        .await?;
    let room_id = transaction.last_insert_id().map(RoomId);
    let room_id = room_id.ok_or_else(|| Error::internal("a new room has no id"))?;
    let owner = std::iter::once((&creator.user_id, RoomRole::Owner));
    let members = owner.chain(others.iter().map(|&user_id| (user_id, RoomRole::Member)));
    insert_members(transaction, room_id, 0, now, members).await?;
    Ok(Room {
        id: room_id,
        kind,
        name: name.to_owned(),
        topic: None,
        slow_mode_seconds: 0,
        capacity,
        member_count,
        created_by: creator.user_id.clone(),
        organization_id: creator.organization_id,
        last_seq: 0,
        created_at: now,
        updated_at: now,
        avatar_url: None,
    })
}

/// Inserts members of a room who join at this number and time and have read everything before it.
///
/// # Errors
/// Any error of the database.
pub(crate) async fn insert_members(
    transaction: &mut Transaction,
    room_id: RoomId,
    seq: u64,
    joined_at: NaiveDateTime,
    members: impl IntoIterator<Item = (&UserId, RoomRole)>,
) -> Result<()> {
    let members: Vec<[Value; 6]> = members
        .into_iter()
        .map(|(user_id, role)| {
            [room_id.into(), user_id.into(), role.into(), seq.into(), joined_at.into(), seq.into()]
        })
        .collect();
    let sql = format!(
        "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq) VALUES {}",
        rows("(?, ?, ?, ?, ?, ?)", members.len())
    );
    Ok(transaction.exec_drop(sql, members.concat()).await?)
}

/// Takes the next number of a room that the caller has locked, for a change of one of its messages.
/// `updated_at` does not change: it is the time of the newest message, not of a later change to an old
/// one.
pub(crate) async fn next_seq(transaction: &mut Transaction, room: &mut Room) -> Result<u64> {
    room.last_seq += 1;
    transaction.exec_drop("UPDATE rooms SET last_seq = ? WHERE id = ?", (room.last_seq, room.id)).await?;
    Ok(room.last_seq)
}
