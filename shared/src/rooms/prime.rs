//! Prime rooms: at most six members, and a password for joining (`docs/contract.md`, "Prime rooms").

use serde::Deserialize;

use crate::app::App;
use crate::base::attempts::attempt;
use crate::base::fields::Request;
use crate::base::ids::RoomId;
use crate::base::password::{NewPassword, Password};
use crate::base::rate_limit::{self, Limited};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::config::Limits;
use crate::people::organizations;
use crate::people::sessions;
use crate::rooms::room::{self, NewRoom, Room, RoomKind, RoomName};
use crate::{Error, Result};

/// The most members of a prime room, its creator included.
pub const PRIME_CAPACITY: u32 = 6;

/// A request to create a prime room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewPrimeRoom {
    pub name: Option<RoomName>,
    pub password: NewPassword,
}

impl Request for NewPrimeRoom {}

/// Creates a prime room. The creator becomes its owner and first member.
///
/// # Errors
/// [`Error::PrimeRequired`] unless the creator is prime, [`Error::RateLimited`] after `ROOM_LIMIT`.
pub async fn create(app: &App, creator: &User, new: NewPrimeRoom) -> Result<Room> {
    // Both are checked again inside the transaction. Checking here saves hashing the password in vain.
    if !creator.prime {
        return Err(Error::PrimeRequired);
    }
    let limits = &app.config.limits;
    rate_limit::has_room(&app.db, limits, Limited::Room(&creator.user_id)).await?;
    let name = match new.name {
        Some(name) => name.to_string(),
        None => format!("{}'s room", creator.name).chars().take(100).collect(),
    };
    let password_hash = app.passwords.hash(new.password).await?;
    app.db.transaction((creator, name.as_str(), password_hash.as_str(), limits), insert).await
}

async fn insert(
    transaction: &mut Transaction,
    (creator, name, password_hash, limits): (&User, &str, &str, &Limits),
) -> Result<Room> {
    if !organizations::rank(transaction, creator).await?.prime {
        return Err(Error::PrimeRequired);
    }
    sessions::still_signed_in(transaction, creator, None).await?;
    let new = NewRoom {
        kind: RoomKind::Prime,
        name,
        password_hash: Some(password_hash),
        capacity: PRIME_CAPACITY,
        creator,
        others: &[],
        limits,
    };
    room::insert(transaction, new).await
}

/// Checks the password of a room whose hash the caller has read. It never changes, so this needs no lock.
///
/// # Errors
/// [`Error::WrongRoomPassword`], and after `PASSWORD_LIMIT` wrong passwords [`Error::RateLimited`].
pub(crate) async fn check_password(
    app: &App,
    user: &User,
    room_id: RoomId,
    password: Password,
    hash: Option<String>,
) -> Result<()> {
    let limited = [Limited::RoomPassword(&user.user_id, room_id)];
    let right = attempt(&app.db, &app.config.limits, &limited, async |turn| {
        Ok(app.passwords.verify(password, hash, turn).await?.then_some(()))
    });
    right.await?.ok_or(Error::WrongRoomPassword)
}
