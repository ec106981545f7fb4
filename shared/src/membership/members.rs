//! Members: who is in a room, and how users join and leave (`docs/contract.md`, "Joining a room" and
//! "Members and roles in a room").

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, params};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::db::Db;
use crate::base::fields::{Fields, Request};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::page::{Place, Slice, Sliced};
use crate::base::password::Password;
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::error::Thing;
use crate::messages::system::{self, MembershipChange};
use crate::people::coins;
use crate::people::presence::sees_presence;
use crate::people::sessions;
use crate::rooms::invitations::{self, InviteToken, Presented};
use crate::rooms::prime;
use crate::rooms::room::{self, Room, RoomKind, RoomRole};
use crate::sockets::connections::SMALL_ROOM;
use crate::{Error, Result};

/// The price in coins that a non-prime user pays for every prime room after the first.
const PRICE: i64 = 150;

/// A member as clients see it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Member {
    pub user_id: UserId,
    pub name: String,
    pub role: RoomRole,
    pub online: bool,
    /// The read position, in a room of at most 50 members.
    pub read_seq: Option<u64>,
    #[serde(serialize_with = "time::serialize")]
    pub joined_at: NaiveDateTime,
    /// The number of the message that tells of the join: members are listed by it.
    #[serde(skip)]
    joined_seq: u64,
}

/// A request to join a room. If it has an invitation, the password is ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct JoinRequest {
    /// `None` to join the room of the invitation.
    pub room_id: Option<RoomId>,
    pub password: Option<Password>,
    pub invite_token: Option<InviteToken>,
    pub user_id: Option<UserId>,
}

impl Request for JoinRequest {
    fn check(fields: &mut Fields) {
        if !fields.has("inviteToken") && !fields.has("roomId") {
            fields.wrong("roomId", "is required");
        }
    }
}

/// The answer to joining a room.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The room afterwards.
    pub room: Room,
    /// How many coins were charged.
    pub charged: i64,
    /// The balance afterwards.
    pub avail_coins: i64,
    /// Whether nothing changed because the user was already in the room.
    pub already_member: bool,
    /// The number of the join in the room. `None` when nothing changed.
    #[serde(skip)]
    pub seq: Option<u64>,
}

/// What a user presents in order to join.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Nothing,
    /// The right password.
    Password,
    /// An invitation. It is checked under the locks.
    Invitation(Presented<'a>),
}

/// Joins a prime room or a channel.
///
/// The password never changes, so it is checked first, outside any lock. If sixteen users joined at once,
/// running bcrypt under the room's lock would take seconds. Then [`seat`] decides in one transaction.
/// `by` is the socket that the request came from, if it came from one.
///
/// # Errors
/// [`Error::NotFound`], [`Error::WrongRoomPassword`], [`Error::RateLimited`] after `PASSWORD_LIMIT` wrong
/// passwords, [`Error::InvitationInvalid`], [`Error::InviteeNotPrime`], [`Error::RoomFull`],
/// [`Error::InsufficientCoins`].
pub async fn join(app: &App, user: &User, by: Option<&ConnectionId>, request: JoinRequest) -> Result<Joined> {
    user.must_be(request.user_id.as_ref())?;
    let token_hash = request.invite_token.as_ref().map(InviteToken::hash);
    let found: Option<RoomToJoin> = app
        .db
        .first(
            "SELECT r.id, r.kind, r.password_hash, m.user_id IS NOT NULL AS is_member
             FROM rooms r LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :user_id
             WHERE r.organization_id = :organization_id AND r.id = COALESCE(:room_id,
                 (SELECT i.room_id FROM invitations i WHERE i.token_hash = :token_hash))",
            params! {
                "user_id" => &user.user_id,
                "organization_id" => user.organization_id,
                "room_id" => request.room_id,
                "token_hash" => &token_hash,
            },
        )
        .await?;
    // A request that names no room learns nothing about the room that its token may be for.
    let nowhere = match request.room_id {
        Some(_) => Error::NotFound(Thing::Room),
        None => Error::InvitationInvalid,
    };
    let is_open_to_joins = |room: &RoomToJoin| matches!(room.kind, RoomKind::Prime | RoomKind::Channel);
    let Some(room) = found.filter(is_open_to_joins) else {
        return Err(nowhere);
    };
    let key = match &token_hash {
        Some(token_hash) => Key::Invitation(Presented::Token(token_hash)),
        None if room.is_member || room.kind == RoomKind::Channel => Key::Nothing,
        None => {
            let password = request.password.ok_or(Error::WrongRoomPassword)?;
            prime::check_password(app, user, room.id, password, room.password_hash).await?;
            Key::Password
        }
    };
    match app.db.transaction_in(room.id, (user, by, room.id, key), seat).await {
        // The room was deleted meanwhile.
        Err(Error::NotFound(Thing::Room)) => Err(nowhere),
        outcome => outcome,
    }
}

/// What a join needs to know of a room before it locks anything.
#[derive(FromRow)]
struct RoomToJoin {
    id: RoomId,
    kind: RoomKind,
    password_hash: Option<String>,
    is_member: bool,
}

#[derive(FromRow)]
struct Purse {
    prime: bool,
    avail_coins: i64,
    free_room_id: Option<RoomId>,
    is_member: bool,
    has_paid: bool,
}

/// Adds a user to a room, under the locks of the room and of the user.
pub(super) async fn seat(
    transaction: &mut Transaction,
    (user, by, room_id, key): (&User, Option<&ConnectionId>, RoomId, Key<'_>),
) -> Result<Joined> {
    let mut room = room::lock(transaction, user.organization_id, room_id).await?;
    let purse: Option<Purse> = transaction
        .exec_first(
            "SELECT u.prime, u.avail_coins, u.free_room_id,
                    EXISTS (SELECT 1 FROM room_members m
                            WHERE m.room_id = :room_id AND m.user_id = :user_id) AS is_member,
                    EXISTS (SELECT 1 FROM coin_ledger l
                            WHERE l.room_id = :room_id AND l.user_id = :user_id) AS has_paid
             FROM users u WHERE u.user_id = :user_id FOR UPDATE",
            params! { "user_id" => &user.user_id, room_id },
        )
        .await?;
    let purse = purse.ok_or(Error::Unauthenticated)?;
    sessions::still_signed_in(transaction, user, by).await?;
    if purse.is_member {
        return Ok(Joined {
            room,
            charged: 0,
            avail_coins: purse.avail_coins,
            already_member: true,
            seq: None,
        });
    }
    let invitation = match key {
        // A user who was a member when joining began, and so needed no password, may have left since.
        Key::Nothing if room.kind == RoomKind::Prime => return Err(Error::WrongRoomPassword),
        Key::Nothing | Key::Password => None,
        Key::Invitation(presented) => {
            let invitation = invitations::lock(transaction, presented, room_id, &user.user_id).await?;
            if !purse.prime {
                return Err(Error::InviteeNotPrime);
            }
            Some(invitation)
        }
    };
    if room.member_count >= room.capacity {
        return Err(Error::RoomFull { capacity: room.capacity });
    }

    let costs_nothing =
        room.kind != RoomKind::Prime || purse.prime || purse.has_paid || purse.free_room_id == Some(room_id);
    let charged = match purse.free_room_id {
        _ if costs_nothing => 0,
        None => {
            transaction
                .exec_drop("UPDATE users SET free_room_id = ? WHERE user_id = ?", (room_id, &user.user_id))
                .await?;
            0
        }
        Some(_) if purse.avail_coins < PRICE => {
            return Err(Error::InsufficientCoins { required: PRICE, available: purse.avail_coins });
        }
        Some(_) => {
            coins::change(transaction, &user.user_id, -PRICE, coins::Reason::RoomEntry(room_id)).await?;
            PRICE
        }
    };

    if let Some(invitation) = invitation {
        invitations::use_up(transaction, invitation).await?;
    }
    // The user who joins an empty room becomes its owner: every room with members has an owner.
    let role = if room.member_count == 0 { RoomRole::Owner } else { RoomRole::Member };
    let seq = system::note(transaction, &mut room, &user.user_id, MembershipChange::Joined).await?;
    let member = [(&user.user_id, role)];
    room::insert_members(transaction, room_id, seq, room.updated_at, member).await?;
    Ok(Joined {
        room,
        charged,
        avail_coins: purse.avail_coins - charged,
        already_member: false,
        seq: Some(seq),
    })
}

/// A membership that ended.
#[derive(Debug)]
pub struct Ended {
    /// The number of the change in the room.
    pub seq: u64,
    /// When it was.
    pub ended_at: NaiveDateTime,
    /// How many members are left.
    pub member_count: u32,
}

/// Leaves a room. If the owner leaves, the oldest moderator succeeds them, or else the oldest member.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::DirectChat`].
pub async fn leave(db: &Db, user: &User, by: Option<&ConnectionId>, room_id: RoomId) -> Result<Ended> {
    db.transaction_in(room_id, (user, by, room_id), unseat).await
}

async fn unseat(
    transaction: &mut Transaction,
    (user, by, room_id): (&User, Option<&ConnectionId>, RoomId),
) -> Result<Ended> {
    let mut room = room::lock(transaction, user.organization_id, room_id).await?;
    sessions::still_signed_in(transaction, user, by).await?;
    let role: Option<RoomRole> = transaction
        .exec_first(
            "SELECT role FROM room_members WHERE room_id = ? AND user_id = ? FOR UPDATE",
            (room_id, &user.user_id),
        )
        .await?;
    let role = role.ok_or(Error::NotAMember)?;
    if room.kind == RoomKind::Direct {
        return Err(Error::DirectChat);
    }
    take_out(transaction, &mut room, &user.user_id, role, MembershipChange::Left).await
}

/// Ends a membership in a room that the caller has locked, and appoints an owner's successor.
async fn take_out(
    transaction: &mut Transaction,
    room: &mut Room,
    user_id: &UserId,
    role: RoomRole,
    notice: MembershipChange,
) -> Result<Ended> {
    transaction
        .exec_drop("DELETE FROM room_members WHERE room_id = ? AND user_id = ?", (room.id, user_id))
        .await?;
    if role == RoomRole::Owner {
        transaction
            .exec_drop(
                "UPDATE room_members SET role = 'owner' WHERE room_id = ?
                 ORDER BY role = 'moderator' DESC, joined_seq, user_id LIMIT 1",
                (room.id,),
            )
            .await?;
    }
    let seq = system::note(transaction, room, user_id, notice).await?;
    Ok(Ended { seq, ended_at: room.updated_at, member_count: room.member_count })
}

/// A membership that another user ended.
#[derive(Debug)]
pub struct Removed {
    /// The end of the membership.
    pub ended: Ended,
    /// The name of the removed user.
    pub name: String,
}

/// Removes another user from a room. The owner may remove anybody and moderators may remove plain
/// members. In a channel, admins of the organization may remove anybody, whether or not they are in it
/// themselves.
///
/// # Errors
/// [`Error::NotFound`] for the room or the member, [`Error::NotAMember`], [`Error::DirectChat`],
/// [`Error::RoomRoleRequired`], and a 400 for oneself.
pub async fn remove(db: &Db, user: &User, room_id: RoomId, member: &UserId) -> Result<Removed> {
    db.transaction_in(room_id, (user, room_id, member), put_out).await
}

async fn put_out(
    transaction: &mut Transaction,
    (user, room_id, member): (&User, RoomId, &UserId),
) -> Result<Removed> {
    let mut room = room::lock(transaction, user.organization_id, room_id).await?;
    sessions::still_signed_in(transaction, user, None).await?;
    let ranks = ranks(transaction, user, room_id, member).await?;
    let is_admin = room.kind == RoomKind::Channel && ranks.organization_role == Role::Admin;
    let own_role = match ranks.own_role {
        // An admin may do what an owner may.
        _ if is_admin => RoomRole::Owner,
        role => role.ok_or(Error::NotAMember)?,
    };
    if room.kind == RoomKind::Direct {
        return Err(Error::DirectChat);
    }
    if *member == user.user_id {
        return Err(Error::invalid("userId", "is yourself: leave the room instead"));
    }
    let (role, name) = match (own_role, ranks.member_role, ranks.member_name) {
        (RoomRole::Owner, Some(role), Some(name)) => (role, name),
        (RoomRole::Moderator, Some(role @ RoomRole::Member), Some(name)) => (role, name),
        (RoomRole::Owner | RoomRole::Moderator, None, _) => return Err(Error::NotFound(Thing::Member)),
        (RoomRole::Moderator, Some(_), _) => return Err(Error::RoomRoleRequired("owner")),
        _ => return Err(Error::RoomRoleRequired("owner and moderators")),
    };
    let ended = take_out(transaction, &mut room, member, role, MembershipChange::Removed).await?;
    Ok(Removed { ended, name })
}

/// The ranks of the acting user and of the member acted on.
#[derive(FromRow)]
pub(crate) struct Ranks {
    pub(crate) organization_role: Role,
    pub(crate) own_role: Option<RoomRole>,
    pub(crate) member_role: Option<RoomRole>,
    member_name: Option<String>,
}

/// Reads the ranks of two users in a room that the caller has locked. They stay the same until the
/// transaction ends.
pub(crate) async fn ranks(
    transaction: &mut Transaction,
    user: &User,
    room_id: RoomId,
    member: &UserId,
) -> Result<Ranks> {
    let ranks: Option<Ranks> = transaction
        .exec_first(
            "SELECT u.role AS organization_role, o.role AS own_role, m.role AS member_role,
                    (SELECT n.name FROM users n WHERE n.user_id = :member) AS member_name
             FROM users u
             LEFT JOIN room_members o ON o.room_id = :room_id AND o.user_id = u.user_id
             LEFT JOIN room_members m ON m.room_id = :room_id AND m.user_id = :member
             WHERE u.user_id = :user_id LOCK IN SHARE MODE",
            params! { "user_id" => &user.user_id, room_id, member },
        )
        .await?;
    ranks.ok_or(Error::Unauthenticated)
}

/// Reads a member of a room, as the asker sees them.
///
/// # Errors
/// [`Error::NotFound`].
pub(crate) async fn read(
    transaction: &mut Transaction,
    asker: &User,
    room_id: RoomId,
    member: &UserId,
) -> Result<Member> {
    let row: Option<Member> = transaction
        .exec_first(
            format!(
                "SELECT {COLUMNS} FROM room_members m JOIN users u ON u.user_id = m.user_id
                 JOIN rooms r ON r.id = m.room_id WHERE m.room_id = :room_id AND m.user_id = :member"
            ),
            params! { "asker" => &asker.user_id, room_id, member, "small" => SMALL_ROOM },
        )
        .await?;
    row.ok_or(Error::NotFound(Thing::Member))
}

/// The columns of a [`Member`], from `rooms r`, `room_members m` and `users u`, as `:asker` sees them. `:small` is
/// [`SMALL_ROOM`].
const COLUMNS: &str = concat!(
    "m.user_id, u.name, m.role, m.joined_at, m.joined_seq,
     IF(r.member_count <= :small, m.read_seq, NULL) AS read_seq, ",
    sees_presence!(),
    " AND EXISTS (SELECT 1 FROM connections c FORCE INDEX (connections_user)
                  WHERE c.user_id = m.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online"
);

/// Returns the members of a room, in the order in which they joined.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn list(db: &Db, asker: &User, room_id: RoomId, slice: &Slice<1000>) -> Result<Sliced<Member>> {
    let after = slice.after.as_ref();
    let rows: Vec<Row> = db
        .rows(
            &format!(
                "SELECT {COLUMNS}, a.user_id IS NOT NULL AS asker_is_member
                 FROM rooms r
                 LEFT JOIN room_members a FORCE INDEX (PRIMARY) ON a.room_id = r.id AND a.user_id = :asker
                 LEFT JOIN (room_members m FORCE INDEX (PRIMARY)
                            STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = m.user_id)
                   ON m.room_id = r.id AND a.user_id IS NOT NULL
                  AND (m.joined_seq > :seq OR (m.joined_seq = :seq AND m.user_id > :user_id))
                 WHERE r.id = :room_id AND r.organization_id = :organization_id
                 ORDER BY m.joined_seq, m.user_id LIMIT :rows"
            ),
            params! {
                room_id,
                "small" => SMALL_ROOM,
                "asker" => &asker.user_id,
                "organization_id" => asker.organization_id,
                "seq" => after.map_or(0, |place| place.number),
                "user_id" => after.map_or("", |place| &place.text),
                "rows" => slice.rows(),
            },
        )
        .await?;
    let room = rows.first().ok_or(Error::NotFound(Thing::Room))?;
    if !room.get("asker_is_member").unwrap_or(false) {
        return Err(Error::NotAMember);
    }
    // When nobody comes after the place, the room's row is returned alone, without a member.
    let is_member = |row: &Row| row.get::<Option<UserId>, _>("user_id").flatten().is_some();
    let members =
        rows.into_iter().filter(is_member).map(|row| Member::from_row_opt(row).map_err(Error::internal));
    let members = members.collect::<Result<Vec<_>>>()?;
    Ok(slice.of(members, |member: &Member| Place::new(member.joined_seq, &member.user_id)))
}
