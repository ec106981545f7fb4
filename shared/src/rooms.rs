//! Rooms: one kind of thing with four doors (contract section 2).

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, Value, params};
use serde::{Deserialize, Deserializer, Serialize};

use crate::app::App;
use crate::auth::password::{NewPassword, Password};
use crate::db::{Db, stored_enum};
use crate::error::Thing;
use crate::fields::{Fields, Missing, Read, WholeNumber};
use crate::members::RoomRole;
use crate::rate_limit::{self, Limited};
use crate::text::{name, text_type};
use crate::users::{User, UserId};
use crate::{Error, Result, organizations, time};

/// How many members a prime room holds, its creator included.
pub const PRIME_CAPACITY: u32 = 6;

/// A room's id; `roomId`, `chatId` and `groupId` are the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomId(pub u64);

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WholeNumber::deserialize(deserializer).map(|WholeNumber(id)| Self(id))
    }
}

impl From<RoomId> for Value {
    fn from(id: RoomId) -> Self {
        id.0.into()
    }
}

text_type!(
    /// A room's name: 1 to 100 characters.
    RoomName, |text| name(text, 1..=100)
);

/// The door by which one gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Made by a prime user, entered by its password: 6 members.
    Prime,
    /// Open to the organization: 1000 members.
    Channel,
    /// Filled by its owner and moderators: 256 members.
    Group,
    /// Two users.
    Direct,
}

stored_enum!(Kind { Prime => "prime", Channel => "channel", Group => "group", Direct => "direct" });

/// A room as clients see it.
#[derive(Clone, Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Room {
    pub id: u64,
    pub kind: Kind,
    pub name: String,
    pub capacity: u32,
    pub member_count: u32,
    pub created_by: String,
    pub organization_id: u64,
    pub last_seq: u64,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    #[serde(serialize_with = "time::serialize")]
    pub updated_at: NaiveDateTime,
}

/// The columns of a [`Room`].
pub(crate) const COLUMNS: &str =
    "id, kind, name, capacity, member_count, created_by, organization_id, last_seq, created_at, updated_at";

/// A request to make a password room.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewPrimeRoom {
    pub name: Option<RoomName>,
    pub password: NewPassword,
}

impl Read for NewPrimeRoom {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let name = fields.optional("name");
        let password = fields.required("password");
        Ok(Self { name: name?, password: password? })
    }
}

/// Makes a password room, whose creator is its owner and first member.
///
/// # Errors
/// [`Error::PrimeRequired`] unless the creator is prime.
pub async fn create_prime(app: &App, creator: &User, new: NewPrimeRoom) -> Result<Room> {
    // Asked again where it counts; here it saves a hash.
    if !creator.prime {
        return Err(Error::PrimeRequired);
    }
    let name = match new.name {
        Some(name) => name.to_string(),
        None => format!("{}'s room", creator.name).chars().take(100).collect(),
    };
    let password_hash = app.passwords.hash(new.password).await?;
    app.db.transaction((creator, name.as_str(), password_hash.as_str()), insert_prime).await
}

async fn insert_prime(
    transaction: &mut Transaction<'static>,
    (creator, name, password_hash): (&User, &str, &str),
) -> Result<Room> {
    if !organizations::rank(transaction, creator).await?.1 {
        return Err(Error::PrimeRequired);
    }
    let new = New {
        kind: Kind::Prime,
        name,
        password_hash: Some(password_hash),
        capacity: PRIME_CAPACITY,
        creator,
        others: &[],
    };
    insert(transaction, new).await
}

/// Checks the password of a room, whose hash the caller has read. It never changes, so this needs no lock.
///
/// # Errors
/// [`Error::WrongRoomPassword`], and after `PASSWORD_LIMIT` of these [`Error::RateLimited`].
pub(crate) async fn check_password(
    app: &App,
    user: &User,
    room_id: RoomId,
    password: Password,
    hash: Option<String>,
) -> Result<()> {
    let limited = Limited::RoomPassword(&user.user_id, room_id);
    // Before the work, or many at once would all be let through to it.
    rate_limit::count(&app.db, &app.config.limits, limited).await?;
    if !app.passwords.verify(password, hash).await? {
        return Err(Error::WrongRoomPassword);
    }
    rate_limit::give_back(&app.db, &app.config.limits, limited).await
}

/// Deletes a prime room or a group, for its owner. Answers who was in it; what is in it is for [`erase`].
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::DirectChat`], and [`Error::RoomRoleRequired`] for other
/// members, and for everybody in a channel.
pub async fn delete(db: &Db, user: &User, room_id: RoomId) -> Result<Vec<UserId>> {
    db.transaction((user, room_id), delete_own).await
}

async fn delete_own(
    transaction: &mut Transaction<'static>,
    (user, room_id): (&User, RoomId),
) -> Result<Vec<UserId>> {
    let room = lock(transaction, user.organization_id, room_id).await?;
    let role: Option<RoomRole> = transaction
        .exec_first(
            "SELECT role FROM room_members WHERE room_id = ? AND user_id = ? LOCK IN SHARE MODE",
            (room_id, &user.user_id),
        )
        .await?;
    match (room.kind, role) {
        (_, None) => Err(Error::NotAMember),
        (Kind::Channel, Some(_)) => Err(Error::RoomRoleRequired(
            "organization: its admins delete channels, with DELETE /api/chat/{roomId}",
        )),
        (Kind::Direct, Some(_)) => Err(Error::DirectChat),
        (Kind::Prime | Kind::Group, Some(RoomRole::Owner)) => close(transaction, room_id).await,
        (Kind::Prime | Kind::Group, Some(_)) => Err(Error::RoomRoleRequired("owner")),
    }
}

/// Takes a room that the caller has locked from its organization, and its members from it: nobody finds
/// it any more. What was paid for it stays paid. Answers who was in it.
///
/// # Errors
/// The database's.
pub(crate) async fn close(transaction: &mut Transaction<'static>, room_id: RoomId) -> Result<Vec<UserId>> {
    let members: Vec<String> =
        transaction.exec("SELECT user_id FROM room_members WHERE room_id = ?", (room_id,)).await?;
    transaction.exec_drop("DELETE FROM room_members WHERE room_id = ?", (room_id,)).await?;
    transaction
        .exec_drop("UPDATE rooms SET organization_id = NULL, member_count = 0 WHERE id = ?", (room_id,))
        .await?;
    Ok(members.into_iter().map(UserId::stored).collect())
}

/// How many messages one statement erases: few enough to hold no lock for long.
const ERASED_AT_ONCE: usize = 2000;
/// How many such statements the request makes that has deleted the room.
const ERASURES: usize = 10;

/// Erases what is in a room that was just deleted, as far as that is soon done: the sweep does the rest,
/// and all of it when this fails, since the room is gone either way.
pub async fn erase(db: &Db, room_id: RoomId) {
    if let Err(error) = erase_some(db, room_id, ERASURES).await {
        error.log("");
    }
}

/// Erases a deleted room, its messages first, by so many statements at most; answers whether that was
/// enough. One statement for all of them could take longer than a function may.
///
/// # Errors
/// The database's.
pub(crate) async fn erase_some(db: &Db, room_id: RoomId, statements: usize) -> Result<bool> {
    let messages = format!("DELETE FROM messages WHERE room_id = ? ORDER BY seq LIMIT {ERASED_AT_ONCE}");
    for _ in 0..statements {
        if db.execute(&messages, (room_id,)).await?.affected_rows < ERASED_AT_ONCE as u64 {
            // Its invitations go with it, by their foreign key.
            db.execute("DELETE FROM rooms WHERE id = ? AND organization_id IS NULL", (room_id,)).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Locks a room of an organization until the transaction ends: the first lock of every change in it.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such room.
pub(crate) async fn lock(
    transaction: &mut Transaction<'static>,
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

/// A room that is made with all its members, before it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    /// Of a prime room, and of no other.
    pub(crate) password_hash: Option<&'a str>,
    pub(crate) capacity: u32,
    /// Its owner.
    pub(crate) creator: &'a User,
    /// The other members, each once.
    pub(crate) others: &'a [&'a UserId],
}

/// Makes a room with its first members, of whom no system message tells. The caller has locked the
/// organization and then these users.
///
/// # Errors
/// The database's.
pub(crate) async fn insert(transaction: &mut Transaction<'static>, new: New<'_>) -> Result<Room> {
    let New { kind, name, password_hash, capacity, creator, others } = new;
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
    let room_id = transaction.last_insert_id().ok_or_else(|| Error::internal("a new room has no id"))?;
    let others = others.iter().map(|&user_id| (user_id, RoomRole::Member));
    let members = std::iter::once((&creator.user_id, RoomRole::Owner)).chain(others);
    let params: Vec<Value> = members
        .flat_map(|(user_id, role)| [room_id.into(), user_id.into(), role.into(), now.into()])
        .collect();
    let rows = vec!["(?, ?, ?, 0, ?, 0)"; member_count as usize].join(", ");
    transaction
        .exec_drop(
            format!(
                "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq) VALUES {rows}"
            ),
            params,
        )
        .await?;
    Ok(Room {
        id: room_id,
        kind,
        name: name.to_owned(),
        capacity,
        member_count,
        created_by: creator.user_id.to_string(),
        organization_id: creator.organization_id,
        last_seq: 0,
        created_at: now,
        updated_at: now,
    })
}

/// Takes the next number of a room that the caller has locked, for a change of one of its messages.
/// `updated_at` stays: it is the time of the newest message, not of a later change of an old one.
pub(crate) async fn next_seq(transaction: &mut Transaction<'static>, room: &mut Room) -> Result<u64> {
    room.last_seq += 1;
    transaction.exec_drop("UPDATE rooms SET last_seq = ? WHERE id = ?", (room.last_seq, room.id)).await?;
    Ok(room.last_seq)
}
