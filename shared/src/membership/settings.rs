//! A room's settings: its name, its topic and slow mode (`docs/contract.md`, "Changing a room").

use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Deserializer, de};

use crate::base::db::Db;
use crate::base::fields::{Request, WholeNumber};
use crate::base::ids::RoomId;
use crate::base::text::{name, text_type};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::membership::members;
use crate::messages::system;
use crate::people::sessions;
use crate::rooms::channels;
use crate::rooms::room::{self, Room, RoomKind, RoomName, RoomRole};
use crate::{Error, Result};

text_type!(
    /// What a room is about: up to 250 characters, by the rules of names. Empty for none.
    Topic, |text| if text.is_empty() { Ok(text) } else { name(text, 1..=250) }
);

/// How often members may send in slow mode: once in so many seconds. 0 turns it off.
#[derive(Clone, Copy, Debug)]
pub struct SlowModeSeconds(u32);

/// Six hours.
const LONGEST_PAUSE: u32 = 6 * 60 * 60;

impl<'de> Deserialize<'de> for SlowModeSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WholeNumber(seconds) = WholeNumber::deserialize(deserializer)?;
        match u32::try_from(seconds) {
            Ok(seconds) if seconds <= LONGEST_PAUSE => Ok(Self(seconds)),
            _ => Err(de::Error::custom(format!("must be 0 to {LONGEST_PAUSE} seconds"))),
        }
    }
}

/// A change of a room's settings. What is `None` stays.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct RoomUpdate {
    pub name: Option<RoomName>,
    pub topic: Option<Topic>,
    pub slow_mode_seconds: Option<SlowModeSeconds>,
}

impl Request for RoomUpdate {}

/// A room after a change of its settings or its avatar.
#[derive(Debug)]
pub struct Updated {
    /// The room.
    pub room: Room,
    /// The number of the change in the room. `None` when nothing changed.
    pub seq: Option<u64>,
}

/// Changes a room's settings. Its owner and moderators may; in a channel the organization's admins and moderators,
/// whether or not they are in it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::DirectChat`], [`Error::RoomRoleRequired`], and
/// [`Error::RoleRequired`] for channels.
pub async fn update(db: &Db, user: &User, room_id: RoomId, update: &RoomUpdate) -> Result<Updated> {
    db.transaction_in(room_id, (user, room_id, update), write).await
}

async fn write(
    transaction: &mut Transaction,
    (user, room_id, update): (&User, RoomId, &RoomUpdate),
) -> Result<Updated> {
    let mut room = lock(transaction, user, room_id).await?;
    let before = (room.name.clone(), room.topic.clone(), room.slow_mode_seconds);
    if let Some(name) = &update.name {
        room.name = name.to_string();
    }
    if let Some(topic) = &update.topic {
        room.topic = Some(topic.to_string()).filter(|topic| !topic.is_empty());
    }
    if let Some(SlowModeSeconds(seconds)) = update.slow_mode_seconds {
        room.slow_mode_seconds = seconds;
    }
    if before == (room.name.clone(), room.topic.clone(), room.slow_mode_seconds) {
        return Ok(Updated { room, seq: None });
    }
    transaction
        .exec_drop(
            "UPDATE rooms SET name = :name, topic = :topic, slow_mode_seconds = :slow_mode_seconds WHERE id = :room_id",
            params! {
                "name" => &room.name,
                "topic" => &room.topic,
                "slow_mode_seconds" => room.slow_mode_seconds,
                room_id,
            },
        )
        .await?;
    let seq = system::write(transaction, &mut room, &user.user_id, "updated").await?;
    Ok(Updated { room, seq: Some(seq) })
}

/// Locks a room whose settings or avatar a user wants to change, and checks that they may. Their roles stay the same until
/// the transaction ends.
///
/// # Errors
/// Those of [`update`].
pub(crate) async fn lock(transaction: &mut Transaction, user: &User, room_id: RoomId) -> Result<Room> {
    let room = room::lock(transaction, user.organization_id, room_id).await?;
    sessions::still_signed_in(transaction, user, None).await?;
    let ranks = members::ranks(transaction, user, room_id, &user.user_id).await?;
    match (room.kind, ranks.own_role) {
        (RoomKind::Channel, _) if ranks.organization_role.makes_channels() => Ok(room),
        (RoomKind::Channel, _) => Err(channels::MAKERS),
        (_, None) => Err(Error::NotAMember),
        (RoomKind::Direct, Some(_)) => Err(Error::DirectChat),
        (RoomKind::Prime | RoomKind::Group, Some(RoomRole::Owner | RoomRole::Moderator)) => Ok(room),
        (RoomKind::Prime | RoomKind::Group, Some(RoomRole::Member)) => {
            Err(Error::RoomRoleRequired("owner and moderators"))
        }
    }
}
