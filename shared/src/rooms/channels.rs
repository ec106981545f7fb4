//! Channels: rooms that are open to their organization (`docs/contract.md`, "Channels" and "Creating and
//! announcing a channel"). As for every room, [`crate::membership::members`] decides who joins and
//! leaves.

use chrono::NaiveDateTime;
use mysql_async::params;
use mysql_async::prelude::FromRow;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::db::{Db, places};
use crate::base::fields::{self, Request, WholeNumber};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::page::{Page, Paged};
use crate::base::rate_limit::{self, Limited};
use crate::base::socket::{Protocol, Socket};
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::config::Limits;
use crate::error::{Standing, Thing};
use crate::people::organizations;
use crate::people::sessions;
use crate::people::users::{self, UserIds};
use crate::rooms::room::COLUMNS;
use crate::rooms::room::{self, NewRoom, Room, RoomKind, RoomName};
use crate::{Error, Result};

/// The most members of a channel.
pub const CAPACITY: u32 = 1000;

/// The error for users who may not manage channels.
pub(crate) const MAKERS: Error = Error::RoleRequired("the organization's admins and moderators");

/// A channel as it appears in the list of an organization's channels.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Listed {
    pub id: RoomId,
    pub name: String,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    #[serde(serialize_with = "time::serialize")]
    pub updated_at: NaiveDateTime,
    #[serde(rename = "organization_id")]
    pub organization_id: u64,
}

/// Counts one request for the list of channels. Returns `None` when the limit is turned off.
///
/// # Errors
/// [`Error::RateLimited`] after `CHAT_LIST_LIMIT`.
pub async fn count_listing(app: &App, asker: &User) -> Result<Option<Standing>> {
    rate_limit::count(&app.db, &app.config.limits, Limited::ChatList(&asker.user_id)).await
}

/// Returns a page of the channels in the asker's organization, newest first.
///
/// # Errors
/// Any error of the database.
pub async fn list(db: &Db, asker: &User, page: Page) -> Result<Paged<Listed>> {
    // The index is named because MySQL would otherwise read and sort all channels when most rooms belong
    // to one organization.
    let sql = "
        SELECT counted.total, listed.*
        FROM (SELECT COUNT(*) AS total FROM rooms FORCE INDEX (rooms_newest)
              WHERE organization_id = :organization_id AND kind = 'channel') counted
        LEFT JOIN (SELECT id, name, created_at, updated_at, organization_id, 1 AS is_row
                   FROM rooms FORCE INDEX (rooms_newest)
                   WHERE organization_id = :organization_id AND kind = 'channel'
                   ORDER BY created_at DESC, id DESC LIMIT :page_size OFFSET :page_offset) listed ON TRUE
        ORDER BY listed.created_at DESC, listed.id DESC";
    Paged::read(db, sql, params! { "organization_id" => asker.organization_id }, page).await
}

/// A request to create a channel.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewChannel {
    /// The channel's name.
    pub name: RoomName,
}

impl Request for NewChannel {}

/// Creates a channel. The creator becomes its owner and first member. `by` is the socket that the request
/// came from, if it came from one.
///
/// # Errors
/// [`Error::RoleRequired`] unless the creator is an admin or a moderator of the organization,
/// [`Error::RateLimited`] after `ROOM_LIMIT`.
pub async fn create(app: &App, creator: &User, by: Option<&ConnectionId>, name: &RoomName) -> Result<Room> {
    app.db.transaction((creator, by, name, &app.config.limits), insert).await
}

async fn insert(
    transaction: &mut Transaction,
    (creator, by, name, limits): (&User, Option<&ConnectionId>, &RoomName, &Limits),
) -> Result<Room> {
    if !organizations::rank(transaction, creator).await?.role.makes_channels() {
        return Err(MAKERS);
    }
    sessions::still_signed_in(transaction, creator, by).await?;
    let new = NewRoom {
        kind: RoomKind::Channel,
        name: name.as_str(),
        password_hash: None,
        capacity: CAPACITY,
        creator,
        others: &[],
        limits,
    };
    room::insert(transaction, new).await
}

/// A channel to announce. It is created first if it does not exist.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// The name for a new channel.
    pub room_name: RoomName,
    /// The users to notify, each once. Empty means the whole organization.
    #[serde(deserialize_with = "fields::or_default")]
    pub invited_users: UserIds,
    /// An existing channel. A number that names none is ignored, since clients do not choose ids.
    pub room_id: Option<RoomId>,
    /// The organization. It can only be the user's own.
    pub organization_id: Option<WholeNumber>,
}

impl Request for Announcement {}

/// The channel to announce.
#[derive(Debug)]
pub struct Announced {
    /// The channel.
    pub room: Room,
    /// The sockets to notify about a channel that already existed. For a new channel they are looked up
    /// after its commit.
    pub sockets: Option<Vec<Socket>>,
}

/// Finds the channel to announce, or creates it. `by` is the socket that the request came from.
///
/// # Errors
/// [`Error::NotFound`] for another organization or one of its users, [`Error::RoleRequired`] unless the
/// user is an admin, a moderator, or the creator of an existing channel, [`Error::Unauthenticated`] when
/// the socket's session has ended meanwhile.
pub async fn find_or_create(
    app: &App,
    user: &User,
    by: &ConnectionId,
    announcement: &Announcement,
) -> Result<Announced> {
    let db = &app.db;
    let Announcement { room_name, invited_users, room_id, organization_id } = announcement;
    if organization_id.is_some_and(|WholeNumber(id)| id != user.organization_id) {
        return Err(Error::NotFound(Thing::Organization));
    }
    let there = match *room_id {
        Some(room_id) => find(db, user, room_id).await?,
        None => None,
    };
    // Checked again in the statement that decides.
    let is_creator = there.as_ref().is_some_and(|room| room.created_by == user.user_id);
    if !is_creator && !user.role.makes_channels() {
        return Err(MAKERS);
    }
    // Users never leave their organization, so this check may run outside the transaction.
    users::all_of(db, user.organization_id, &invited_users.0).await?;
    match there {
        Some(room) => {
            let sockets = audience(db, by, room.id, &invited_users.0).await?;
            Ok(Announced { room, sockets: Some(sockets) })
        }
        None => {
            let room = create(app, user, Some(by), room_name).await?;
            Ok(Announced { room, sockets: None })
        }
    }
}

async fn find(db: &Db, user: &User, room_id: RoomId) -> Result<Option<Room>> {
    let sql =
        format!("SELECT {COLUMNS} FROM rooms WHERE id = ? AND organization_id = ? AND kind = 'channel'");
    db.first(&sql, (room_id, user.organization_id)).await
}

/// Selects whether the user of a socket may announce a room and, if so, the sockets of the users in its
/// organization. Returns no row when the socket is not open. A condition on the users `i` may follow.
const ORGANIZATION: &str = "
    SELECT a.may, o.connection_id, o.protocol
    FROM (SELECT r.organization_id, u.role IN (?, ?) OR r.created_by = u.user_id AS may
          FROM connections c STRAIGHT_JOIN users u ON u.user_id = c.user_id
          LEFT JOIN rooms r ON r.id = ? AND r.organization_id = u.organization_id
          WHERE c.connection_id = ? AND c.expires_at > UTC_TIMESTAMP(3)) a
    LEFT JOIN (users i STRAIGHT_JOIN connections o FORCE INDEX (connections_user)
               ON o.user_id = i.user_id AND o.expires_at > UTC_TIMESTAMP(3))
      ON i.organization_id = a.organization_id AND a.may";

/// Returns the sockets to notify about an existing channel: those of the invited users, or of the whole
/// organization when nobody is named. This is the last query before the push, so it also checks the right
/// to announce.
async fn audience(db: &Db, by: &ConnectionId, room_id: RoomId, invited: &[UserId]) -> Result<Vec<Socket>> {
    let sql = match invited {
        [] => ORGANIZATION.to_owned(),
        invited => format!("{ORGANIZATION} AND i.user_id IN ({})", places(invited.len())),
    };
    let mut params: Vec<mysql_async::Value> = Role::CHANNEL_MAKERS.map(Into::into).to_vec();
    params.extend([room_id.into(), by.into()]);
    params.extend(invited.iter().map(mysql_async::Value::from));
    let rows: Vec<(Option<bool>, Option<ConnectionId>, Option<Protocol>)> = db.rows(&sql, params).await?;
    match rows.first() {
        None => Err(Error::Unauthenticated),
        Some((None, ..)) => Err(Error::NotFound(Thing::Room)),
        Some((Some(false), ..)) => Err(MAKERS),
        Some((Some(true), ..)) => {
            Ok(rows.into_iter().filter_map(|(_, id, protocol)| Socket::found(id, protocol)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::fields::Fields;

    fn parse(announcement: Value) -> Result<Announcement> {
        Fields::parse(announcement)
    }

    #[test]
    fn the_invited_are_numbers_or_strings_and_named_once() {
        let announcement =
            parse(json!({"roomName": "Project Updates", "invitedUsers": [2, "3", "2"], "roomId": "2"}))
                .unwrap();
        let names: Vec<_> = announcement.invited_users.0.iter().map(UserId::as_str).collect();
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
