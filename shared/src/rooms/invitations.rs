//! Invitations: the creator of a prime room lets one prime user in without the password
//! (`docs/contract.md`, "Invitations").

use std::cmp::Reverse;

use chrono::{NaiveDateTime, TimeDelta};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, params};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::app::App;
use crate::base::db::{Db, text_column};
use crate::base::fields::{self, Request};
use crate::base::ids::{RoomId, UserId, number_type};
use crate::base::page::{Place, Slice, Sliced};
use crate::base::password::Password;
use crate::base::sha256::sha256;
use crate::base::source::Source;
use crate::base::time;
use crate::base::tokens::{IssuedToken, random_token};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::people::sessions;
use crate::rooms::prime;
use crate::rooms::room::{self, Room};
use crate::{Error, Result};

/// How long an invitation is valid.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The most sent and the most received invitations in one part of a list.
pub(crate) const MOST: u64 = 500;

number_type!(
    /// An invitation's id. It is not a secret.
    InvitationId
);

/// The token of an invitation: 256 random bits, or whatever a client sent instead.
#[derive(Clone, Debug)]
pub struct InviteToken(SecretString);

impl<'de> Deserialize<'de> for InviteToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fields::string(deserializer).map(|token| Self(token.into()))
    }
}

impl InviteToken {
    /// The hash that is stored instead of the token.
    pub(crate) fn hash(&self) -> Vec<u8> {
        sha256(&[self.0.expose_secret().as_bytes()])
    }
}

/// A request to invite a user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewInvitation {
    pub room_id: RoomId,
    pub password: Password,
    pub user_id: UserId,
}

impl Request for NewInvitation {}

/// A new invitation. Its token is shown only this once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// The inviter revokes the invitation by this id.
    pub invitation_id: InvitationId,
    /// The invitee joins with this token.
    pub invite_token: IssuedToken,
    /// 24 hours after the invitation was created.
    #[serde(serialize_with = "time::serialize")]
    pub expires_at: NaiveDateTime,
    /// The room, as shown to the invitee.
    #[serde(skip)]
    pub room: Room,
    /// The invitee.
    #[serde(skip)]
    pub invitee: UserId,
}

/// Invites a prime user of the organization into a prime room.
///
/// The password is checked outside any lock. Then one statement creates the invitation if everything that
/// was true before still is.
///
/// # Errors
/// [`Error::NotFound`] for the room or the user, [`Error::NotRoomCreator`], [`Error::NotAMember`] for a
/// creator who has left, [`Error::InviteeNotPrime`], a 400 for a user who is already in the room,
/// [`Error::WrongRoomPassword`] and, after `PASSWORD_LIMIT` wrong passwords, [`Error::RateLimited`].
pub async fn create(app: &App, inviter: &User, new: NewInvitation) -> Result<Invited> {
    let Allowed { room, password_hash } = allowed(&app.db, inviter, new.room_id, &new.user_id).await?;
    prime::check_password(app, inviter, new.room_id, new.password, password_hash).await?;

    let invite_token = random_token::<32>();
    let now = time::now();
    let expires_at = now + LIFETIME;
    let place = app.db.place_in(new.room_id).await?;
    // The room is locked first, as everywhere. The statement may be sent twice: a token is inserted only
    // once.
    let done = app
        .db
        .execute(
            "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
             SELECT r.id, m.user_id, u.user_id, :token_hash, :now, :expires_at
             FROM rooms r
             STRAIGHT_JOIN room_members m ON m.room_id = r.id AND m.user_id = r.created_by
             STRAIGHT_JOIN users u ON u.organization_id = r.organization_id
             STRAIGHT_JOIN sessions s ON s.session_id = :session_id AND s.revoked_at IS NULL
             LEFT JOIN room_members i ON i.room_id = r.id AND i.user_id = u.user_id
             WHERE r.id = :room_id AND r.kind = 'prime' AND r.created_by = :inviter
               AND u.user_id = :invitee AND u.prime AND i.user_id IS NULL
             LOCK IN SHARE MODE
             ON DUPLICATE KEY UPDATE invitation_id = LAST_INSERT_ID(invitations.invitation_id)",
            params! {
                "token_hash" => InviteToken(invite_token.as_str().into()).hash(),
                now,
                expires_at,
                "room_id" => new.room_id,
                "inviter" => &inviter.user_id,
                "invitee" => &new.user_id,
                "session_id" => &inviter.session_id,
            },
        )
        .await?;
    drop(place);
    match done.last_insert_id {
        Some(id) => {
            let invitation_id = InvitationId(id);
            let invite_token = invite_token.into();
            Ok(Invited { invitation_id, invite_token, expires_at, room, invitee: new.user_id })
        }
        // Something changed while the password was being checked.
        None => match allowed(&app.db, inviter, new.room_id, &new.user_id).await {
            Err(refusal) => Err(refusal),
            // Nothing else forbids it: the session has ended.
            Ok(_) => Err(Error::Unauthenticated),
        },
    }
}

struct Allowed {
    room: Room,
    password_hash: Option<String>,
}

/// Checks everything that an invitation needs except the password, and reads its room.
async fn allowed(db: &Db, inviter: &User, room_id: RoomId, invitee: &UserId) -> Result<Allowed> {
    let row: Option<Row> = db
        .first(
            &format!(
                "SELECT r.*, m.user_id IS NOT NULL AS inviter_is_member, u.prime AS invitee_is_prime,
                        i.user_id IS NOT NULL AS invitee_is_member
                 FROM (SELECT {}, password_hash FROM rooms WHERE id = :room_id) r
                 LEFT JOIN room_members m ON m.room_id = r.id AND m.user_id = :inviter
                 LEFT JOIN users u ON u.organization_id = r.organization_id AND u.user_id = :invitee
                 LEFT JOIN room_members i ON i.room_id = r.id AND i.user_id = u.user_id
                 WHERE r.organization_id = :organization_id AND r.kind = 'prime'",
                room::COLUMNS
            ),
            params! {
                room_id,
                "inviter" => &inviter.user_id,
                invitee,
                "organization_id" => inviter.organization_id,
            },
        )
        .await?;
    let row = row.ok_or(Error::NotFound(Thing::Room))?;
    let invitee_is_prime: Option<bool> = row.get("invitee_is_prime").unwrap_or_default();
    let invitee_is_member: bool = row.get("invitee_is_member").unwrap_or_default();
    let inviter_is_member: bool = row.get("inviter_is_member").unwrap_or_default();
    let password_hash = row.get("password_hash").unwrap_or_default();
    let room = Room::from_row_opt(row).map_err(Error::internal)?;
    match invitee_is_prime {
        _ if room.created_by != inviter.user_id => Err(Error::NotRoomCreator),
        _ if !inviter_is_member => Err(Error::NotAMember),
        _ if *invitee == inviter.user_id => Err(Error::invalid("userId", "is yourself")),
        None => Err(Error::NotFound(Thing::User)),
        Some(false) => Err(Error::InviteeNotPrime),
        Some(true) if invitee_is_member => Err(Error::invalid("userId", "is in the room already")),
        Some(true) => Ok(Allowed { room, password_hash }),
    }
}

/// The status of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum InvitationStatus {
    /// It can be used.
    Pending,
    /// Its invitee joined with it.
    Used,
    /// Its inviter revoked it.
    Revoked,
    /// Its invitee declined it.
    Declined,
    /// Its 24 hours have passed.
    Expired,
}

text_column!(InvitationStatus);

/// An invitation without its token, as its inviter and its invitee see it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Invitation {
    pub invitation_id: InvitationId,
    pub room_id: RoomId,
    pub room_name: String,
    pub from: UserId,
    pub to: UserId,
    pub status: InvitationStatus,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    #[serde(serialize_with = "time::serialize")]
    pub expires_at: NaiveDateTime,
}

/// Returns the invitations that the asker sent and received, newest first. The limit is for each of the two, so that a
/// user who sends many cannot hide those that others sent or received. So a place has two ids, and a part of the list
/// begins below each.
///
/// # Errors
/// Any error of the database. A 400 for a place that is none in this list.
pub async fn list(source: &mut Source<'_>, asker: &User, slice: &Slice<MOST>) -> Result<Sliced<Invitation>> {
    let (sent_after, received_after) = match &slice.after {
        None => (u64::MAX, u64::MAX),
        Some(Place { number, text }) => (*number, text.parse().map_err(|_| Place::wrong())?),
    };
    let rows: Vec<Invitation> = source
        .rows(
            &format!(
                "({LISTED} (invitations_inviter) {ROOM} WHERE i.inviter_id = :asker AND i.invitation_id < :sent_after
                  ORDER BY i.invitation_id DESC LIMIT :rows)
                 UNION ALL
                 ({LISTED} (invitations_invitee) {ROOM} WHERE i.invitee_id = :asker AND i.invitation_id < :received_after
                  ORDER BY i.invitation_id DESC LIMIT :rows)
                 ORDER BY invitation_id DESC"
            ),
            params! { "asker" => &asker.user_id, sent_after, received_after, "rows" => slice.rows() },
        )
        .await?;
    let (sent, received): (Vec<_>, Vec<_>) = rows.into_iter().partition(|one| one.from == asker.user_id);
    let place = |one: &Invitation| Place::new(one.invitation_id.0, "");
    let (sent, received) = (slice.of(sent, place), slice.of(received, place));
    let next = match (sent.next, received.next) {
        (None, None) => None,
        // Below 0 there is nothing.
        (sent, received) => {
            let id = |place: Option<Place>| place.map_or(0, |place| place.number);
            Some(Place::new(id(sent), id(received)))
        }
    };
    let mut rows = sent.rows;
    rows.extend(received.rows);
    rows.sort_by_key(|one| Reverse(one.invitation_id));
    Ok(Sliced { rows, next })
}

/// Returns the newest of the invitations that can be used, sent and received. Only the newest [`MOST`] of each are looked at.
///
/// # Errors
/// Any error of the database.
pub(crate) async fn pending(source: &mut Source<'_>, asker: &User, most: usize) -> Result<Vec<Invitation>> {
    let newest = list(source, asker, &Slice { after: None, limit: MOST }).await?;
    let is_pending = |invitation: &Invitation| invitation.status == InvitationStatus::Pending;
    Ok(newest.rows.into_iter().filter(is_pending).take(most).collect())
}

/// Selects invitations as [`Invitation`]s. The name of an index follows, and then [`ROOM`].
const LISTED: &str =
    "SELECT i.invitation_id, i.room_id, r.name AS room_name, i.inviter_id AS `from`, i.invitee_id AS `to`,
        CASE WHEN i.used_at IS NOT NULL THEN 'used' WHEN i.declined THEN 'declined'
             WHEN i.revoked_at IS NOT NULL THEN 'revoked' WHEN i.expires_at <= UTC_TIMESTAMP(3) THEN 'expired' ELSE 'pending' END AS status,
        i.created_at, i.expires_at
     FROM invitations i FORCE INDEX";
/// Leaves out the invitations of deleted rooms.
const ROOM: &str =
    "STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = i.room_id AND r.organization_id IS NOT NULL";

/// Revokes an invitation. Revoking it again also succeeds.
///
/// # Errors
/// [`Error::NotFound`] when it is unknown, belongs to another user, or was used.
pub async fn revoke(db: &Db, inviter: &User, invitation_id: InvitationId) -> Result<()> {
    db.transaction((inviter, invitation_id, Side::Inviter), void).await
}

/// Declines an invitation. Declining it again also succeeds, and so does declining one that was revoked.
///
/// # Errors
/// [`Error::NotFound`] when it is unknown, is for another user, or was used.
pub async fn decline(db: &Db, invitee: &User, invitation_id: InvitationId) -> Result<()> {
    db.transaction((invitee, invitation_id, Side::Invitee), void).await
}

/// The user who makes an invitation void.
#[derive(Clone, Copy)]
enum Side {
    Inviter,
    Invitee,
}

async fn void(
    transaction: &mut Transaction,
    (user, invitation_id, side): (&User, InvitationId, Side),
) -> Result<()> {
    let (column, declines) = match side {
        Side::Inviter => ("inviter_id", false),
        Side::Invitee => ("invitee_id", true),
    };
    // The session comes first, as where an invitation is used.
    sessions::still_signed_in(transaction, user, None).await?;
    // LAST_INSERT_ID shows that the row exists, even when the statement changes nothing in it.
    transaction
        .exec_drop(
            format!(
                "UPDATE invitations
                 SET declined = IF(revoked_at IS NULL, ?, declined),
                     revoked_at = COALESCE(revoked_at, UTC_TIMESTAMP(3)),
                     invitation_id = LAST_INSERT_ID(invitation_id)
                 WHERE invitation_id = ? AND {column} = ? AND used_at IS NULL"
            ),
            (declines, invitation_id, &user.user_id),
        )
        .await?;
    transaction.last_insert_id().map(drop).ok_or(Error::NotFound(Thing::Invitation))
}

/// What an invitee presents: the token that the push brought, or the id that the list shows.
#[derive(Clone, Copy)]
pub(crate) enum Presented<'a> {
    /// The hash of the token.
    Token(&'a [u8]),
    /// The id.
    Id(InvitationId),
}

/// Returns the room into which an invitation lets this user, valid or not.
///
/// # Errors
/// [`Error::NotFound`] when it is unknown or for another user, or its room was deleted.
pub(crate) async fn room_of(db: &Db, invitee: &User, invitation_id: InvitationId) -> Result<RoomId> {
    let room_id: Option<RoomId> = db
        .first(
            "SELECT i.room_id FROM invitations i JOIN rooms r ON r.id = i.room_id
             WHERE i.invitation_id = ? AND i.invitee_id = ? AND r.organization_id = ?",
            (invitation_id, &invitee.user_id, invitee.organization_id),
        )
        .await?;
    room_id.ok_or(Error::NotFound(Thing::Invitation))
}

/// Locks the invitation of this user into this room if it is valid. The caller has locked the room and
/// the user.
///
/// # Errors
/// [`Error::InvitationInvalid`] when it is unknown, expired, used, revoked, declined, or for another user or room.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    presented: Presented<'_>,
    room_id: RoomId,
    invitee: &UserId,
) -> Result<InvitationId> {
    let (column, key) = match presented {
        Presented::Token(hash) => ("token_hash", mysql_async::Value::from(hash)),
        Presented::Id(InvitationId(id)) => ("invitation_id", id.into()),
    };
    let id: Option<InvitationId> = transaction
        .exec_first(
            format!(
                "SELECT invitation_id FROM invitations
                 WHERE {column} = ? AND room_id = ? AND invitee_id = ?
                   AND used_at IS NULL AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3) FOR UPDATE"
            ),
            (key, room_id, invitee),
        )
        .await?;
    id.ok_or(Error::InvitationInvalid)
}

/// Marks an invitation that the caller has locked as used, in the transaction that adds its invitee to
/// the room.
///
/// # Errors
/// Any error of the database.
pub(crate) async fn use_up(transaction: &mut Transaction, invitation_id: InvitationId) -> Result<()> {
    transaction
        .exec_drop(
            "UPDATE invitations SET used_at = UTC_TIMESTAMP(3) WHERE invitation_id = ?",
            (invitation_id,),
        )
        .await?;
    Ok(())
}
