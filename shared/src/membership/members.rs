//! Members: who is in a room, and how one gets in and out (contract section 2).

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, params};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::app::App;
use crate::base::db::Db;
use crate::base::fields::{self, Fields, Request};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::password::Password;
use crate::base::time;
use crate::base::user::{Role, User};
use crate::error::Thing;
use crate::messages::system::{self, MembershipChange};
use crate::people::coins;
use crate::rooms::invitations::{self, InviteToken};
use crate::rooms::prime;
use crate::rooms::room::{self, Room, RoomKind, RoomRole};
use crate::sockets::connections;
use crate::{Error, Result};

/// The price, in coins, of every prime room after the first for who is not prime.
const PRICE: i64 = 150;

/// A member as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Member {
    pub user_id: UserId,
    pub name: String,
    pub role: RoomRole,
    pub online: bool,
    #[serde(serialize_with = "time::serialize")]
    pub joined_at: NaiveDateTime,
}

/// A request to enter a room. With an invitation the password counts for nothing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct JoinRequest {
    /// None for the room of the invitation.
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

/// What entering a room answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The room, after it.
    pub room: Room,
    /// What it cost, in coins.
    pub charged: i64,
    /// The balance after it.
    pub avail_coins: i64,
    /// Whether nothing changed, since the user was in the room already.
    pub already_member: bool,
    /// The number of the join in the room; none when nothing changed.
    #[serde(skip)]
    pub seq: Option<u64>,
}

/// What somebody has in hand at the door.
#[derive(Clone, Copy)]
enum Key<'a> {
    Nothing,
    /// The right password.
    Password,
    /// The hash of an invitation's token, which only counts under the locks.
    Invitation(&'a [u8]),
}

/// Enters a prime room or a channel.
///
/// The password never changes, so it is checked first, outside any lock: with sixteen people at the
/// door, bcrypt under the room's lock would take seconds. Then [`seat`] decides in one transaction.
/// `by` is the socket that asks, if one does.
///
/// # Errors
/// [`Error::NotFound`], [`Error::WrongRoomPassword`], [`Error::RateLimited`] after `PASSWORD_LIMIT` of these,
/// [`Error::InvitationInvalid`], [`Error::InviteeNotPrime`], [`Error::RoomFull`], [`Error::InsufficientCoins`].
pub async fn join(app: &App, user: &User, by: Option<&ConnectionId>, entry: JoinRequest) -> Result<Joined> {
    user.must_be(entry.user_id.as_ref())?;
    let token_hash = entry.invite_token.as_ref().map(InviteToken::hash);
    let door: Option<(RoomId, RoomKind, Option<String>, bool)> = app
        .db
        .first(
            "SELECT r.id, r.kind, r.password_hash, m.user_id IS NOT NULL
             FROM rooms r LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :user_id
             WHERE r.organization_id = :organization_id AND r.id = COALESCE(:room_id,
                 (SELECT i.room_id FROM invitations i WHERE i.token_hash = :token_hash))",
            params! {
                "user_id" => &user.user_id,
                "organization_id" => user.organization_id,
                "room_id" => entry.room_id,
                "token_hash" => &token_hash,
            },
        )
        .await?;
    // Who names no room is told nothing of the one that their token may be for.
    let nowhere = match entry.room_id {
        Some(_) => Error::NotFound(Thing::Room),
        None => Error::InvitationInvalid,
    };
    let Some((room_id, kind @ (RoomKind::Prime | RoomKind::Channel), password_hash, is_member)) = door else {
        return Err(nowhere);
    };
    let key = match &token_hash {
        Some(token_hash) => Key::Invitation(token_hash),
        None if is_member || kind == RoomKind::Channel => Key::Nothing,
        None => {
            let password = entry.password.ok_or(Error::WrongRoomPassword)?;
            prime::check_password(app, user, room_id, password, password_hash).await?;
            Key::Password
        }
    };
    match app.db.transaction((user, by, room_id, key), seat).await {
        // Deleted meanwhile.
        Err(Error::NotFound(Thing::Room)) => Err(nowhere),
        outcome => outcome,
    }
}

#[derive(FromRow)]
struct Purse {
    prime: bool,
    avail_coins: i64,
    free_room_id: Option<RoomId>,
    is_member: bool,
    has_paid: bool,
}

/// Seats a user, under the locks of the room and of the user.
async fn seat(
    transaction: &mut Transaction<'static>,
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
    connections::still_open(transaction, by).await?;
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
        // Who was a member at the door, and needed no password, may have left since.
        Key::Nothing if room.kind == RoomKind::Prime => return Err(Error::WrongRoomPassword),
        Key::Nothing | Key::Password => None,
        Key::Invitation(token_hash) => {
            let invitation = invitations::lock(transaction, token_hash, room_id, &user.user_id).await?;
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
    // Who enters an empty room owns it: every room with members has an owner.
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

/// Leaves a room. An owner who leaves is followed by the oldest moderator, else the oldest member.
/// Answers the number of the leave in the room.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`], [`Error::DirectChat`].
pub async fn leave(db: &Db, user: &User, by: Option<&ConnectionId>, room_id: RoomId) -> Result<u64> {
    db.transaction((user, by, room_id), unseat).await
}

async fn unseat(
    transaction: &mut Transaction<'static>,
    (user, by, room_id): (&User, Option<&ConnectionId>, RoomId),
) -> Result<u64> {
    let mut room = room::lock(transaction, user.organization_id, room_id).await?;
    connections::still_open(transaction, by).await?;
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

/// Ends a membership in a room that the caller has locked, and finds an owner's successor. Answers the
/// number of the change.
async fn take_out(
    transaction: &mut Transaction<'static>,
    room: &mut Room,
    user_id: &UserId,
    role: RoomRole,
    notice: MembershipChange,
) -> Result<u64> {
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
    system::note(transaction, room, user_id, notice).await
}

/// A membership that somebody else ended.
#[derive(Debug)]
pub struct Removed {
    /// The number of the removal in the room.
    pub seq: u64,
    /// The name of who was removed.
    pub name: String,
}

/// Removes somebody else from a room: its owner anybody, its moderators plain members, in a channel the
/// organization's admins anybody, whether they are in it or not.
///
/// # Errors
/// [`Error::NotFound`] for the room or the member, [`Error::NotAMember`], [`Error::DirectChat`],
/// [`Error::RoomRoleRequired`], and a 400 for oneself.
pub async fn remove(db: &Db, user: &User, room_id: RoomId, member: &UserId) -> Result<Removed> {
    db.transaction((user, room_id, member), put_out).await
}

async fn put_out(
    transaction: &mut Transaction<'static>,
    (user, room_id, member): (&User, RoomId, &UserId),
) -> Result<Removed> {
    let mut room = room::lock(transaction, user.organization_id, room_id).await?;
    let ranks = ranks(transaction, user, room_id, member).await?;
    let is_admin = room.kind == RoomKind::Channel && ranks.organization_role == Role::Admin;
    let own_role = match ranks.own_role {
        // As an owner may.
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
    let seq = take_out(transaction, &mut room, member, role, MembershipChange::Removed).await?;
    Ok(Removed { seq, name })
}

/// Who acts in a room, and on whom.
#[derive(FromRow)]
struct Ranks {
    organization_role: Role,
    own_role: Option<RoomRole>,
    member_role: Option<RoomRole>,
    member_name: Option<String>,
}

/// The ranks of two in a room that the caller has locked, as they stay until the transaction ends.
async fn ranks(
    transaction: &mut Transaction<'static>,
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

/// What an owner can make of a member.
#[derive(Clone, Copy, Debug)]
pub struct AssignableRole(RoomRole);

impl<'de> Deserialize<'de> for AssignableRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match fields::string(deserializer)?.as_str() {
            "moderator" => Ok(Self(RoomRole::Moderator)),
            "member" => Ok(Self(RoomRole::Member)),
            _ => Err(de::Error::custom("must be `moderator` or `member`")),
        }
    }
}

/// A request to change a member.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "it is the contract's field of its name")]
pub struct MemberUpdate {
    pub role: AssignableRole,
}

impl Request for MemberUpdate {}

/// Makes a member a moderator, or a plain member again, for the room's owner. Answers the member.
///
/// # Errors
/// [`Error::NotFound`] for the room or the member, [`Error::NotAMember`], [`Error::DirectChat`],
/// [`Error::RoomRoleRequired`], and a 400 for the owner.
pub async fn set_role(
    db: &Db,
    user: &User,
    room_id: RoomId,
    member: &UserId,
    update: MemberUpdate,
) -> Result<Member> {
    db.transaction((user, room_id, member, update.role.0), write_role).await
}

async fn write_role(
    transaction: &mut Transaction<'static>,
    (user, room_id, member, role): (&User, RoomId, &UserId, RoomRole),
) -> Result<Member> {
    let room = room::lock(transaction, user.organization_id, room_id).await?;
    let ranks = ranks(transaction, user, room_id, member).await?;
    let own_role = ranks.own_role.ok_or(Error::NotAMember)?;
    match ranks.member_role {
        _ if room.kind == RoomKind::Direct => return Err(Error::DirectChat),
        _ if own_role != RoomRole::Owner => return Err(Error::RoomRoleRequired("owner")),
        None => return Err(Error::NotFound(Thing::Member)),
        Some(RoomRole::Owner) => return Err(Error::invalid("userId", "is yourself, the owner")),
        Some(_) => {}
    }
    transaction
        .exec_drop(
            "UPDATE room_members SET role = ? WHERE room_id = ? AND user_id = ?",
            (role, room_id, member),
        )
        .await?;
    let row: Option<MemberRow> = transaction
        .exec_first(
            format!(
                "SELECT {COLUMNS} FROM room_members m JOIN users u ON u.user_id = m.user_id
                 WHERE m.room_id = ? AND m.user_id = ?"
            ),
            (room_id, member),
        )
        .await?;
    row.and_then(MemberRow::member).ok_or(Error::NotFound(Thing::Member))
}

/// The columns of a [`MemberRow`], from `room_members m` and `users u`.
const COLUMNS: &str = "m.user_id, u.name, m.role, m.joined_at,
    EXISTS (SELECT 1 FROM connections c WHERE c.user_id = m.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online";

/// The members of a room, oldest first.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn list(db: &Db, asker: &User, room_id: RoomId) -> Result<Vec<Member>> {
    let rows: Vec<MemberRow> = db
        .rows(
            &format!(
                "SELECT {COLUMNS}
                 FROM rooms r LEFT JOIN (room_members m JOIN users u ON u.user_id = m.user_id) ON m.room_id = r.id
                 WHERE r.id = ? AND r.organization_id = ?
                 ORDER BY m.joined_seq, m.user_id"
            ),
            (room_id, asker.organization_id),
        )
        .await?;
    if rows.is_empty() {
        return Err(Error::NotFound(Thing::Room));
    }
    let members: Vec<Member> = rows.into_iter().filter_map(MemberRow::member).collect();
    if members.iter().any(|member| member.user_id == asker.user_id) {
        Ok(members)
    } else {
        Err(Error::NotAMember)
    }
}

/// A room's row comes back alone, without a member, when everybody has left.
#[derive(FromRow)]
struct MemberRow {
    user_id: Option<UserId>,
    name: Option<String>,
    role: Option<RoomRole>,
    joined_at: Option<NaiveDateTime>,
    online: bool,
}

impl MemberRow {
    fn member(self) -> Option<Member> {
        Some(Member {
            user_id: self.user_id?,
            name: self.name?,
            role: self.role?,
            online: self.online,
            joined_at: self.joined_at?,
        })
    }
}
