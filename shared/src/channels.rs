//! Channels: rooms that are open to their organization (contract sections 2 to 4). How one gets in and
//! out is in [`crate::members`], as for every room.

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, params};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::connections::{self, ConnectionId};
use crate::db::Db;
use crate::error::Thing;
use crate::fields::{Fields, Missing, Read, WholeNumber};
use crate::page::{Page, Paged};
use crate::rate_limit::{self, Limited, Standing};
use crate::rooms::{COLUMNS, Room, RoomId, RoomName};
use crate::users::{self, User, UserId};
use crate::{Error, Result, time};

/// How many members a channel holds.
pub const CAPACITY: u32 = 1000;
/// The most users that one announcement can name.
const MOST_INVITED: usize = CAPACITY as usize;

const MAKERS: Error = Error::RoleRequired("the organization's admins and moderators");

/// A channel as the list of an organization's channels has it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Listed {
    pub id: u64,
    pub name: String,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    #[serde(serialize_with = "time::serialize")]
    pub updated_at: NaiveDateTime,
    #[serde(rename = "organization_id")]
    pub organization_id: u64,
}

/// Counts one look at the list of channels. None when the limit is turned off.
///
/// # Errors
/// [`Error::RateLimited`] after `CHAT_LIST_LIMIT`.
pub async fn count_listing(app: &App, asker: &User) -> Result<Option<Standing>> {
    rate_limit::count(&app.db, &app.config.limits, Limited::ChatList(&asker.user_id)).await
}

/// A page of the channels of the asker's organization, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, asker: &User, page: Page) -> Result<Paged<Listed>> {
    Paged::read::<Listed>(
        db,
        "id, name, created_at, updated_at, organization_id",
        "FROM rooms WHERE organization_id = :organization_id AND kind = 'channel'",
        &["created_at DESC", "id DESC"],
        params! { "organization_id" => asker.organization_id },
        page,
    )
    .await
}

/// A request to make a channel.
#[derive(Debug)]
pub struct NewChannel {
    /// What it is called.
    pub name: RoomName,
}

impl Read for NewChannel {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { name: fields.required("name")? })
    }
}

/// Makes a channel, whose creator is its owner and first member. `by` is the socket that asks, if one
/// does.
///
/// # Errors
/// [`Error::RoleRequired`] unless the creator is an admin or a moderator of the organization.
pub async fn create(db: &Db, creator: &User, by: Option<&ConnectionId>, name: &RoomName) -> Result<Room> {
    db.transaction((creator, by, name), insert).await
}

async fn insert(
    transaction: &mut Transaction<'static>,
    (creator, by, name): (&User, Option<&ConnectionId>, &RoomName),
) -> Result<Room> {
    let now = time::now();
    transaction
        .exec_drop(
            "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, created_by, created_at,
                                updated_at)
             SELECT organization_id, 'channel', :name, :capacity, 1, user_id, :now, :now
             FROM users WHERE user_id = :creator AND role IN ('admin', 'moderator') LOCK IN SHARE MODE",
            params! { name, "capacity" => CAPACITY, now, "creator" => &creator.user_id },
        )
        .await?;
    let room_id = transaction.last_insert_id().ok_or(MAKERS)?;
    connections::still_open(transaction, by).await?;
    transaction
        .exec_drop(
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             VALUES (?, ?, 'owner', 0, ?, 0)",
            (room_id, &creator.user_id, now),
        )
        .await?;
    let room: Option<Room> =
        transaction.exec_first(format!("SELECT {COLUMNS} FROM rooms WHERE id = ?"), (room_id,)).await?;
    room.ok_or_else(|| Error::internal("a room just inserted is not there"))
}

/// A channel to be announced, and to be made first when there is none.
#[derive(Debug)]
pub struct Announcement {
    /// What a new channel is called.
    pub room_name: RoomName,
    /// Who is to hear of it, each once; nobody for the whole organization.
    pub invited_users: Vec<UserId>,
    /// A channel that is there; any other number is ignored, since ids are not for clients to choose.
    pub room_id: Option<RoomId>,
    /// The organization, which can only be one's own.
    pub organization_id: Option<u64>,
}

impl Read for Announcement {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_name = fields.required("roomName");
        let invited_users = fields.optional("invitedUsers");
        let room_id = fields.optional("roomId");
        let organization_id = fields.optional("organizationId");
        Ok(Self {
            room_name: room_name?,
            invited_users: invited_users?.map(|Invited(user_ids)| user_ids).unwrap_or_default(),
            room_id: room_id?,
            organization_id: organization_id?.map(|WholeNumber(id)| id),
        })
    }
}

struct Invited(Vec<UserId>);

impl<'de> Deserialize<'de> for Invited {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut user_ids = Vec::new();
        match Value::deserialize(deserializer)? {
            Value::Array(all) if all.len() <= MOST_INVITED => {
                for one in all {
                    let one = UserId::deserialize(one);
                    user_ids.push(
                        one.map_err(|error| D::Error::custom(format!("must have userIds: each {error}")))?,
                    );
                }
            }
            _ => return Err(D::Error::custom(format!("must be an array of at most {MOST_INVITED} userIds"))),
        }
        let mut seen = std::collections::BTreeSet::new();
        user_ids.retain(|user_id| seen.insert(user_id.clone()));
        Ok(Self(user_ids))
    }
}

/// Makes the channel of an announcement, unless it is there already. `by` is the socket that asks.
///
/// # Errors
/// [`Error::NotFound`] for another organization or one of its users, [`Error::RoleRequired`] unless the
/// user is an admin or a moderator, or the creator of a channel that is there.
pub async fn announce(
    db: &Db,
    user: &User,
    by: Option<&ConnectionId>,
    announcement: &Announcement,
) -> Result<Room> {
    if announcement.organization_id.is_some_and(|id| id != user.organization_id) {
        return Err(Error::NotFound(Thing::Organization));
    }
    let there = match announcement.room_id {
        Some(room_id) => find(db, user, room_id).await?,
        None => None,
    };
    // For a new channel it is asked again where it counts.
    let is_creator = there.as_ref().is_some_and(|room| room.created_by == user.user_id.as_str());
    if !is_creator && !user.role.makes_channels() {
        return Err(MAKERS);
    }
    // Users stay in their organization for good, so this need not stand in the transaction.
    users::all_of(db, user.organization_id, &announcement.invited_users).await?;
    match there {
        Some(room) => Ok(room),
        None => create(db, user, by, &announcement.room_name).await,
    }
}

async fn find(db: &Db, user: &User, room_id: RoomId) -> Result<Option<Room>> {
    let sql =
        format!("SELECT {COLUMNS} FROM rooms WHERE id = ? AND organization_id = ? AND kind = 'channel'");
    db.first(&sql, (room_id, user.organization_id)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(announcement: Value) -> Result<Announcement> {
        Fields::parse(announcement)
    }

    #[test]
    fn the_invited_are_numbers_or_strings_and_named_once() {
        let announcement =
            parse(json!({"roomName": "Project Updates", "invitedUsers": [2, "3", "2"], "roomId": "2"}))
                .unwrap();
        let names: Vec<_> = announcement.invited_users.iter().map(UserId::as_str).collect();
        assert_eq!((names, announcement.room_id), (vec!["2", "3"], Some(RoomId(2))));
    }

    #[test]
    fn who_is_no_user_cannot_be_invited() {
        for invited in [json!("bob"), json!([null]), json!(["a b"]), json!([[]]), json!(vec![1; 1001])] {
            let Err(Error::InvalidRequest(wrong)) = parse(json!({"roomName": "x", "invitedUsers": invited}))
            else {
                panic!("must be refused: {invited}");
            };
            assert_eq!(wrong[0].field, "invitedUsers");
        }
    }
}
