//! Groups: rooms whose owner and moderators add the members (`docs/contract.md`, "Groups").

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Params, Row, Value, params};
use serde::Deserialize;

use crate::app::App;
use crate::base::db::{Db, places};
use crate::base::fields::{Fields, Missing, Read, Request};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::rate_limit::{self, Limited};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::config::Limits;
use crate::error::Thing;
use crate::messages::system::{self, MembershipChange};
use crate::people::friends::are_friends;
use crate::people::sessions;
use crate::people::users::UserIds;
use crate::rooms::room::{self, NewRoom, Room, RoomKind, RoomName, RoomRole};
use crate::{Error, Result};

/// The most members of a group, its creator included.
pub(crate) const CAPACITY: u32 = 256;
const MOST_OTHERS: usize = CAPACITY as usize - 1;

/// A request to create a group.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewGroup {
    pub name: RoomName,
    /// The first members, each once. The creator may be among them.
    pub members: Vec<UserId>,
}

impl Read for NewGroup {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let name = fields.required("name");
        let members = fields.optional("members").map(Option::unwrap_or_default);
        // The creator may be one more.
        if matches!(&members, Ok(UserIds(members)) if members.len() > MOST_OTHERS + 1) {
            fields.wrong("members", too_many());
        }
        Ok(Self { name: name?, members: members?.0 })
    }
}

fn too_many() -> String {
    format!("must be at most {MOST_OTHERS} others")
}

/// Creates a group. The creator becomes its owner. Its first members do not count as joins and take no
/// numbers. `by` is the socket that the request came from, if it came from one.
///
/// # Errors
/// [`Error::NotFound`] when a member does not belong to the organization, [`Error::NotAddable`] when only friends may
/// add one, [`Error::RateLimited`] after `ROOM_LIMIT` or `ADD_LIMIT`, and a 400 for more than `ADD_LIMIT` allows at once.
pub async fn create(app: &App, creator: &User, by: Option<&ConnectionId>, new: &NewGroup) -> Result<Room> {
    let others: Vec<&UserId> = new.members.iter().filter(|member| **member != creator.user_id).collect();
    if others.len() > MOST_OTHERS {
        return Err(Error::invalid("members", too_many()));
    }
    app.db.transaction((creator, by, &new.name, others.as_slice(), &app.config.limits), insert).await
}

/// Whether one user may add another to a group, and whether that counts.
#[derive(FromRow)]
struct Addable {
    user_id: UserId,
    /// Whether the user lets anybody add them.
    by_anyone: bool,
    is_friend: bool,
}

async fn insert(
    transaction: &mut Transaction,
    (creator, by, name, others, limits): (&User, Option<&ConnectionId>, &RoomName, &[&UserId], &Limits),
) -> Result<Room> {
    let own: Value = (&creator.user_id).into();
    let mut params = vec![own.clone(), own.clone(), creator.organization_id.into(), own];
    params.extend(others.iter().map(|&user_id| Value::from(user_id)));
    let places = places(others.len() + 1);
    // While the users are locked, nobody changes who may add them.
    let mut found: Vec<Addable> = transaction
        .exec(
            format!(
                concat!(
                    "SELECT u.user_id, u.addable_by = 'anyone' AS by_anyone, ",
                    are_friends!("u.user_id", "?"),
                    " AS is_friend
                     FROM organizations o STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.organization_id = o.id
                     WHERE o.id = ? AND u.user_id IN ({places}) ORDER BY u.user_id LOCK IN SHARE MODE"
                ),
                places = places
            ),
            Params::Positional(params),
        )
        .await?;
    sessions::still_signed_in(transaction, creator, by).await?;
    if found.len() != others.len() + 1 {
        return Err(Error::NotFound(Thing::User));
    }
    found.retain(|addable| addable.user_id != creator.user_id);
    let refusing = found.iter().filter(|addable| !addable.by_anyone && !addable.is_friend);
    let refusing: Vec<_> = refusing.map(|addable| ("members", &addable.user_id)).collect();
    if !refusing.is_empty() {
        return Err(Error::not_addable(refusing));
    }
    let strangers = found.iter().filter(|addable| !addable.is_friend).count() as u32;
    count_strangers(transaction, limits, creator, strangers).await?;
    let new = NewRoom {
        kind: RoomKind::Group,
        name: name.as_str(),
        password_hash: None,
        capacity: CAPACITY,
        creator,
        others,
        limits,
    };
    room::insert(transaction, new).await
}

/// Counts people who are added to a group by somebody who is no friend of theirs.
async fn count_strangers(
    transaction: &mut Transaction,
    limits: &Limits,
    adder: &User,
    strangers: u32,
) -> Result<()> {
    match limits.add {
        // No wait would help.
        Some(limit) if strangers > limit.count => {
            let message = format!("must be at most {} who are not your friends", limit.count);
            Err(Error::invalid("members", message))
        }
        _ if strangers == 0 => Ok(()),
        _ => rate_limit::count_done(transaction, limits, Limited::Addition(&adder.user_id), strangers).await,
    }
}

/// Returns a group as a member sees it.
///
/// # Errors
/// [`Error::NotFound`], also for other kinds of rooms, and [`Error::NotAMember`].
pub async fn of_member(db: &Db, user: &User, group_id: RoomId) -> Result<Room> {
    let row: Option<Row> = db
        .first(
            &format!(
                "SELECT {}, EXISTS (SELECT 1 FROM room_members m
                                    WHERE m.room_id = r.id AND m.user_id = :user_id) AS is_member
                 FROM rooms r WHERE id = :group_id AND organization_id = :organization_id AND kind = 'group'",
                room::COLUMNS
            ),
            params! { "user_id" => &user.user_id, group_id, "organization_id" => user.organization_id },
        )
        .await?;
    let row = row.ok_or(Error::NotFound(Thing::Room))?;
    match row.get("is_member") {
        Some(true) => Room::from_row_opt(row).map_err(Error::internal),
        _ => Err(Error::NotAMember),
    }
}

/// A request to add a user to a group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addition {
    /// The user to add.
    pub user_id: UserId,
}

impl Request for Addition {}

/// The outcome of adding a user.
#[derive(Debug)]
pub struct Added {
    /// The group afterwards.
    pub group: Room,
    /// The number of the join and the name of the added user. `None` when they were already a member.
    pub joined: Option<(u64, String)>,
}

/// Adds a user of the organization to a group. Only its owner and moderators may.
///
/// # Errors
/// [`Error::NotFound`] for the group or the user, [`Error::NotAMember`], [`Error::RoomRoleRequired`],
/// [`Error::NotAddable`] when only friends may add the user, [`Error::RoomFull`], and [`Error::RateLimited`] after
/// `ADD_LIMIT`.
pub async fn add(app: &App, user: &User, group_id: RoomId, addition: &Addition) -> Result<Added> {
    let adding = (user, group_id, &addition.user_id, &app.config.limits);
    app.db.transaction_in(group_id, adding, seat).await
}

#[derive(FromRow)]
struct Candidate {
    own_role: Option<RoomRole>,
    name: Option<String>,
    by_anyone: Option<bool>,
    is_friend: bool,
    is_member: bool,
}

async fn seat(
    transaction: &mut Transaction,
    (user, group_id, added, limits): (&User, RoomId, &UserId, &Limits),
) -> Result<Added> {
    let mut group = room::lock(transaction, user.organization_id, group_id).await?;
    sessions::still_signed_in(transaction, user, None).await?;
    if group.kind != RoomKind::Group {
        return Err(Error::NotFound(Thing::Room));
    }
    // While the room is locked, nobody joins, leaves or is appointed. While the user is locked, nobody changes who may
    // add them. Users never leave their organization.
    let candidate: Option<Candidate> = transaction
        .exec_first(
            concat!(
                "SELECT (SELECT o.role FROM room_members o
                         WHERE o.room_id = :group_id AND o.user_id = :user_id) AS own_role,
                        a.name, a.addable_by = 'anyone' AS by_anyone, ",
                are_friends!(":user_id", ":added"),
                " AS is_friend,
                        EXISTS (SELECT 1 FROM room_members m
                                WHERE m.room_id = :group_id AND m.user_id = :added) AS is_member
                 FROM rooms r LEFT JOIN users a ON a.user_id = :added AND a.organization_id = r.organization_id
                 WHERE r.id = :group_id LOCK IN SHARE MODE"
            ),
            params! { group_id, "user_id" => &user.user_id, added },
        )
        .await?;
    let Candidate { own_role, name, by_anyone, is_friend, is_member } =
        candidate.ok_or(Error::NotFound(Thing::Room))?;
    match own_role {
        Some(RoomRole::Owner | RoomRole::Moderator) => {}
        Some(RoomRole::Member) => return Err(Error::RoomRoleRequired("owner and moderators")),
        None => return Err(Error::NotAMember),
    }
    let name = name.ok_or(Error::NotFound(Thing::User))?;
    if is_member {
        return Ok(Added { group, joined: None });
    }
    if by_anyone != Some(true) && !is_friend {
        return Err(Error::not_addable([("userId", added)]));
    }
    if group.member_count >= group.capacity {
        return Err(Error::RoomFull { capacity: group.capacity });
    }
    let seq = system::note(transaction, &mut group, added, MembershipChange::Joined).await?;
    let member = [(added, RoomRole::Member)];
    room::insert_members(transaction, group_id, seq, group.updated_at, member).await?;
    count_strangers(transaction, limits, user, u32::from(!is_friend)).await?;
    Ok(Added { group, joined: Some((seq, name)) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(members: serde_json::Value) -> Result<usize> {
        Fields::parse::<NewGroup>(json!({"name": "x", "members": members})).map(|new| new.members.len())
    }

    #[test]
    fn members_are_taken_once() {
        assert_eq!(members(json!(["1", 1, "bob", "bob", "Bob"])).unwrap(), 3);
        assert_eq!(members(json!(null)).unwrap(), 0);
        for bad in [json!("bob"), json!(["!"]), json!([null]), json!([["bob"]]), json!({"0": "bob"})] {
            assert!(matches!(members(bad.clone()), Err(Error::InvalidRequest(_))), "{bad}");
        }
    }

    #[test]
    fn there_are_at_most_255_others() {
        let ids = |count: u32| json!((0..count).collect::<Vec<_>>());
        assert_eq!(members(ids(256)).unwrap(), 256, "one of them may be the creator");
        assert!(members(ids(257)).is_err());
    }
}
