//! Rooms: one kind of thing with four doors (contract section 2).

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, Value, params};
use serde::{Deserialize, Deserializer, Serialize};

use crate::app::App;
use crate::auth::password::NewPassword;
use crate::connections::ConnectionId;
use crate::db::{Db, stored_enum};
use crate::error::Thing;
use crate::fields::{Fields, Missing, Read, WholeNumber};
use crate::text::{line, text_type};
use crate::users::{self, User, UserId};
use crate::{Error, Result, time};

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
    RoomName, |name| match line(name, 1..=100)? {
        name if name.trim().is_empty() => Err("must not be blank".to_owned()),
        name => Ok(name),
    }
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
    app.db.transaction((&creator.user_id, name.as_str(), password_hash.as_str()), insert_prime).await
}

async fn insert_prime(
    transaction: &mut Transaction<'static>,
    (creator, name, password_hash): (&UserId, &str, &str),
) -> Result<Room> {
    let now = time::now();
    transaction
        .exec_drop(
            "INSERT INTO rooms (organization_id, kind, name, password_hash, capacity, member_count, created_by,
                                created_at, updated_at)
             SELECT organization_id, 'prime', :name, :password_hash, :capacity, 1, user_id, :now, :now
             FROM users WHERE user_id = :creator AND prime LOCK IN SHARE MODE",
            params! { name, password_hash, "capacity" => PRIME_CAPACITY, now, creator },
        )
        .await?;
    let Some(room_id) = transaction.last_insert_id() else {
        return Err(Error::PrimeRequired);
    };
    transaction
        .exec_drop(
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             VALUES (?, ?, 'owner', 0, ?, 0)",
            (room_id, creator, now),
        )
        .await?;
    let room: Option<Room> =
        transaction.exec_first(format!("SELECT {COLUMNS} FROM rooms WHERE id = ?"), (room_id,)).await?;
    room.ok_or_else(|| Error::internal("a room just inserted is not there"))
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

/// Deletes a channel with its messages. Answers the sockets of those who were its members.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such channel, [`Error::RoleRequired`] unless the
/// user is an admin.
pub async fn delete_channel(db: &Db, admin: &User, room_id: RoomId) -> Result<Vec<ConnectionId>> {
    db.transaction((admin, room_id), erase_channel).await
}

async fn erase_channel(
    transaction: &mut Transaction<'static>,
    (admin, room_id): (&User, RoomId),
) -> Result<Vec<ConnectionId>> {
    let room = lock(transaction, admin.organization_id, room_id).await?;
    if room.kind != Kind::Channel {
        return Err(Error::NotFound(Thing::Room));
    }
    users::still_admin(transaction, admin).await?;
    let sockets: Vec<String> = transaction
        .exec(
            "SELECT c.connection_id FROM room_members m JOIN connections c ON c.user_id = m.user_id
             WHERE m.room_id = ? AND c.expires_at > UTC_TIMESTAMP(3)",
            (room_id,),
        )
        .await?;
    // Its members and messages go with it.
    transaction.exec_drop("DELETE FROM rooms WHERE id = ?", (room_id,)).await?;
    Ok(sockets.into_iter().map(ConnectionId::new).collect())
}
