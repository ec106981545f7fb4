//! Members: who is in a room, and how one gets in and out (contract section 2).

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, params};
use serde::Serialize;

use crate::app::App;
use crate::auth::password::Password;
use crate::connections::{self, ConnectionId};
use crate::db::{Db, stored_enum};
use crate::error::Thing;
use crate::fields::{Fields, Missing, Read};
use crate::rooms::{self, Kind, Room, RoomId};
use crate::users::{User, UserId};
use crate::{Error, Result, coins, messages, time};

/// The price, in coins, of every prime room after the first for who is not prime.
const PRICE: i64 = 150;

/// A role in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomRole {
    /// One in every room that has members.
    Owner,
    /// Made by the owner.
    Moderator,
    /// Everybody else.
    Member,
}

stored_enum!(RoomRole { Owner => "owner", Moderator => "moderator", Member => "member" });

/// A member as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Member {
    pub user_id: String,
    pub name: String,
    pub role: RoomRole,
    pub online: bool,
    #[serde(serialize_with = "time::serialize")]
    pub joined_at: NaiveDateTime,
}

/// A request to enter a room.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Entry {
    pub room_id: RoomId,
    pub password: Option<Password>,
    pub user_id: Option<UserId>,
}

impl Read for Entry {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = fields.required("roomId");
        let password = fields.optional("password");
        let user_id = fields.optional("userId");
        Ok(Self { room_id: room_id?, password: password?, user_id: user_id? })
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

/// Enters a prime room or a channel.
///
/// The password never changes, so it is checked first, outside any lock: with sixteen people at the
/// door, bcrypt under the room's lock would take seconds. Then [`seat`] decides in one transaction.
/// `by` is the socket that asks, if one does.
///
/// # Errors
/// [`Error::NotFound`], [`Error::WrongRoomPassword`], [`Error::RoomFull`], [`Error::InsufficientCoins`].
pub async fn join(app: &App, user: &User, by: Option<&ConnectionId>, entry: Entry) -> Result<Joined> {
    user.is(entry.user_id.as_ref())?;
    let door: Option<(Kind, Option<String>, bool)> = app
        .db
        .first(
            "SELECT r.kind, r.password_hash, m.user_id IS NOT NULL
             FROM rooms r LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = ?
             WHERE r.id = ? AND r.organization_id = ?",
            (&user.user_id, entry.room_id, user.organization_id),
        )
        .await?;
    let knows_password = match door {
        Some((Kind::Prime, hash, false)) => {
            let password = entry.password.ok_or(Error::WrongRoomPassword)?;
            if !app.passwords.verify(password, hash).await? {
                return Err(Error::WrongRoomPassword);
            }
            true
        }
        Some((Kind::Prime | Kind::Channel, ..)) => false,
        Some((Kind::Group | Kind::Direct, ..)) | None => return Err(Error::NotFound(Thing::Room)),
    };
    app.db.transaction((user, by, entry.room_id, knows_password), seat).await
}

#[derive(FromRow)]
struct Purse {
    prime: bool,
    avail_coins: i64,
    free_room_id: Option<u64>,
    is_member: bool,
    has_paid: bool,
}

/// Seats a user, under the locks of the room and of the user.
async fn seat(
    transaction: &mut Transaction<'static>,
    (user, by, room_id, knows_password): (&User, Option<&ConnectionId>, RoomId, bool),
) -> Result<Joined> {
    let mut room = rooms::lock(transaction, user.organization_id, room_id).await?;
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
    // Who was a member at the door, and needed no password, may have left since.
    if room.kind == Kind::Prime && !knows_password {
        return Err(Error::WrongRoomPassword);
    }
    if room.member_count >= room.capacity {
        return Err(Error::RoomFull { capacity: room.capacity });
    }

    let costs_nothing =
        room.kind != Kind::Prime || purse.prime || purse.has_paid || purse.free_room_id == Some(room_id.0);
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

    // Who enters an empty room owns it: every room with members has an owner.
    let role = if room.member_count == 0 { "owner" } else { "member" };
    let seq = messages::note(transaction, &mut room, &user.user_id, messages::Notice::Joined).await?;
    transaction
        .exec_drop(
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             VALUES (:room_id, :user_id, :role, :seq, :now, :seq)",
            params! { room_id, "user_id" => &user.user_id, role, seq, "now" => room.updated_at },
        )
        .await?;
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
    let mut room = rooms::lock(transaction, user.organization_id, room_id).await?;
    connections::still_open(transaction, by).await?;
    let role: Option<RoomRole> = transaction
        .exec_first(
            "SELECT role FROM room_members WHERE room_id = ? AND user_id = ? FOR UPDATE",
            (room_id, &user.user_id),
        )
        .await?;
    let role = role.ok_or(Error::NotAMember)?;
    if room.kind == Kind::Direct {
        return Err(Error::DirectChat);
    }
    transaction
        .exec_drop("DELETE FROM room_members WHERE room_id = ? AND user_id = ?", (room_id, &user.user_id))
        .await?;
    if role == RoomRole::Owner {
        transaction
            .exec_drop(
                "UPDATE room_members SET role = 'owner' WHERE room_id = ?
                 ORDER BY role = 'moderator' DESC, joined_seq, user_id LIMIT 1",
                (room_id,),
            )
            .await?;
    }
    messages::note(transaction, &mut room, &user.user_id, messages::Notice::Left).await
}

/// The members of a room, oldest first.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAMember`].
pub async fn list(db: &Db, asker: &User, room_id: RoomId) -> Result<Vec<Member>> {
    let rows: Vec<MemberRow> = db
        .rows(
            "SELECT m.user_id, u.name, m.role, m.joined_at,
                    EXISTS (SELECT 1 FROM connections c
                            WHERE c.user_id = m.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online
             FROM rooms r LEFT JOIN (room_members m JOIN users u ON u.user_id = m.user_id) ON m.room_id = r.id
             WHERE r.id = ? AND r.organization_id = ?
             ORDER BY m.joined_seq, m.user_id",
            (room_id, asker.organization_id),
        )
        .await?;
    if rows.is_empty() {
        return Err(Error::NotFound(Thing::Room));
    }
    let members: Vec<Member> = rows.into_iter().filter_map(MemberRow::member).collect();
    if members.iter().any(|member| member.user_id == asker.user_id.as_str()) {
        Ok(members)
    } else {
        Err(Error::NotAMember)
    }
}

/// A room's row comes back alone, without a member, when everybody has left.
#[derive(FromRow)]
struct MemberRow {
    user_id: Option<String>,
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
