//! Invitations: the creator of a prime room lets one prime user in without the password
//! (`docs/contract.md`, "Invitations").

use chrono::{NaiveDateTime, TimeDelta};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, Transaction, params};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::app::App;
use crate::base::db::{Db, text_column};
use crate::base::fields::{self, Request};
use crate::base::ids::{RoomId, UserId, number_type};
use crate::base::password::Password;
use crate::base::sha256::sha256;
use crate::base::time;
use crate::base::tokens::{IssuedToken, random_token};
use crate::base::user::User;
use crate::error::Thing;
use crate::people::sessions;
use crate::rooms::prime;
use crate::rooms::room::{self, Room};
use crate::{Error, Result};

/// How long an invitation is valid.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The most invitations in one list.
const MOST: u32 = 500;

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

/// Returns the invitations that the asker sent and received, newest first. It returns at most 500 of
/// each, so that a user who sends many cannot hide those that others sent or received.
///
/// # Errors
/// Any error of the database.
pub async fn list(db: &Db, asker: &User) -> Result<Vec<Invitation>> {
    db.rows(
        "SELECT i.invitation_id, i.room_id, r.name AS room_name, i.inviter_id AS `from`, i.invitee_id AS `to`,
                CASE WHEN i.used_at IS NOT NULL THEN 'used' WHEN i.revoked_at IS NOT NULL THEN 'revoked'
                     WHEN i.expires_at <= UTC_TIMESTAMP(3) THEN 'expired' ELSE 'pending' END AS status,
                i.created_at, i.expires_at
         FROM ((SELECT * FROM invitations FORCE INDEX (invitations_inviter)
                WHERE inviter_id = :asker ORDER BY invitation_id DESC LIMIT :most)
               UNION ALL
               (SELECT * FROM invitations FORCE INDEX (invitations_invitee)
                WHERE invitee_id = :asker ORDER BY invitation_id DESC LIMIT :most)) i
         STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = i.room_id AND r.organization_id IS NOT NULL
         ORDER BY i.invitation_id DESC",
        params! { "asker" => &asker.user_id, "most" => MOST },
    )
    .await
}

/// Revokes an invitation. Revoking it again also succeeds.
///
/// # Errors
/// [`Error::NotFound`] when it is unknown, belongs to another user, or was used.
pub async fn revoke(db: &Db, inviter: &User, invitation_id: InvitationId) -> Result<()> {
    db.transaction((inviter, invitation_id), revoke_own).await
}

async fn revoke_own(
    transaction: &mut Transaction<'static>,
    (inviter, invitation_id): (&User, InvitationId),
) -> Result<()> {
    // LAST_INSERT_ID shows that the row exists, even when the statement changes nothing in it.
    transaction
        .exec_drop(
            "UPDATE invitations
             SET revoked_at = COALESCE(revoked_at, UTC_TIMESTAMP(3)), invitation_id = LAST_INSERT_ID(invitation_id)
             WHERE invitation_id = ? AND inviter_id = ? AND used_at IS NULL",
            (invitation_id, &inviter.user_id),
        )
        .await?;
    transaction.last_insert_id().ok_or(Error::NotFound(Thing::Invitation))?;
    sessions::still_signed_in(transaction, inviter, None).await
}

/// Locks the invitation of this user into this room if it is valid. The caller has locked the room and
/// the user.
///
/// # Errors
/// [`Error::InvitationInvalid`] when it is unknown, expired, used, revoked, or for another user or room.
pub(crate) async fn lock(
    transaction: &mut Transaction<'static>,
    token_hash: &[u8],
    room_id: RoomId,
    invitee: &UserId,
) -> Result<InvitationId> {
    let id: Option<InvitationId> = transaction
        .exec_first(
            "SELECT invitation_id FROM invitations
             WHERE token_hash = ? AND room_id = ? AND invitee_id = ?
               AND used_at IS NULL AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3) FOR UPDATE",
            (token_hash, room_id, invitee),
        )
        .await?;
    id.ok_or(Error::InvitationInvalid)
}

/// Marks an invitation that the caller has locked as used, in the transaction that adds its invitee to
/// the room.
///
/// # Errors
/// Any error of the database.
pub(crate) async fn use_up(
    transaction: &mut Transaction<'static>,
    invitation_id: InvitationId,
) -> Result<()> {
    transaction
        .exec_drop(
            "UPDATE invitations SET used_at = UTC_TIMESTAMP(3) WHERE invitation_id = ?",
            (invitation_id,),
        )
        .await?;
    Ok(())
}
