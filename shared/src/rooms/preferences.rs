//! Preferences: what a member chose for a room, for themselves alone (`docs/contract.md`, "Own settings of a room").
//! Clients see them as `membership`.

use mysql_async::params;
use mysql_async::prelude::{FromRow, Queryable};
use serde::{Deserialize, Deserializer, Serialize, de};
use strum::{EnumString, IntoStaticStr};

use crate::base::db::{Db, text_column};
use crate::base::fields::{self, Flag, Request};
use crate::base::ids::RoomId;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::people::sessions;
use crate::{Error, Result};

/// What of a room a client should notify its user of. The service pushes everything either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Notifications {
    /// Every message.
    All,
    /// Messages that mention the user.
    Mentions,
    /// Nothing.
    None,
}

text_column!(Notifications);

impl<'de> Deserialize<'de> for Notifications {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |_| de::Error::custom("must be `all`, `mentions` or `none`");
        fields::string(deserializer)?.parse().map_err(wrong)
    }
}

/// A member's preferences for a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Preferences {
    /// What to be notified of.
    pub notifications: Notifications,
    /// Whether the room is a favorite.
    pub favorite: bool,
    /// Whether the room is put away.
    pub archived: bool,
    /// Whether the room looks unread, whatever was read. Reading ends it.
    pub marked_unread: bool,
}

/// A change of preferences. What is `None` stays.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct PreferencesUpdate {
    pub notifications: Option<Notifications>,
    pub favorite: Option<Flag>,
    pub archived: Option<Flag>,
    pub marked_unread: Option<Flag>,
}

impl Request for PreferencesUpdate {}

impl PreferencesUpdate {
    fn of(self, current: Preferences) -> Preferences {
        let flag = |new: Option<Flag>, current| new.map_or(current, |Flag(new)| new);
        Preferences {
            notifications: self.notifications.unwrap_or(current.notifications),
            favorite: flag(self.favorite, current.favorite),
            archived: flag(self.archived, current.archived),
            marked_unread: flag(self.marked_unread, current.marked_unread),
        }
    }
}

/// The preferences after a change.
#[derive(Clone, Copy, Debug)]
pub struct Updated {
    /// The preferences.
    pub preferences: Preferences,
    /// Whether they were others before.
    pub changed: bool,
}

/// Changes a member's preferences for a room.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn update(db: &Db, user: &User, room_id: RoomId, update: PreferencesUpdate) -> Result<Updated> {
    db.transaction((user, room_id, update), write).await
}

/// The member's row alone is locked, and not the room: nothing that others see changes.
async fn write(
    transaction: &mut Transaction,
    (user, room_id, update): (&User, RoomId, PreferencesUpdate),
) -> Result<Updated> {
    sessions::still_signed_in(transaction, user, None).await?;
    let current: Option<Preferences> = transaction
        .exec_first(
            "SELECT notifications, favorite, archived, marked_unread FROM room_members FORCE INDEX (PRIMARY)
             WHERE room_id = ? AND user_id = ? FOR UPDATE",
            (room_id, &user.user_id),
        )
        .await?;
    let Some(current) = current else {
        let is_there: Option<u8> = transaction
            .exec_first(
                "SELECT 1 FROM rooms WHERE id = ? AND organization_id = ?",
                (room_id, user.organization_id),
            )
            .await?;
        return Err(is_there.map_or(Error::NotFound(Thing::Room), |_| Error::NotAMember));
    };
    let preferences = update.of(current);
    let changed = preferences != current;
    if changed {
        let Preferences { notifications, favorite, archived, marked_unread } = preferences;
        transaction
            .exec_drop(
                "UPDATE room_members
                 SET notifications = :notifications, favorite = :favorite, archived = :archived,
                     marked_unread = :marked_unread
                 WHERE room_id = :room_id AND user_id = :user_id",
                params! {
                    notifications,
                    favorite,
                    archived,
                    marked_unread,
                    room_id,
                    "user_id" => &user.user_id,
                },
            )
            .await?;
    }
    Ok(Updated { preferences, changed })
}
