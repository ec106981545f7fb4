//! Sessions: one for each device that signed in (`docs/contract.md`, "Sessions and tokens").

use chrono::NaiveDateTime;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Params, Value, params};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::db::{Db, places};
use crate::base::fields::{self, Request};
use crate::base::ids::{ConnectionId, UserId};
use crate::base::page::{Place, Slice, Sliced};
use crate::base::rate_limit::{self, Limited};
use crate::base::socket::Socket;
use crate::base::text::{line, text_type};
use crate::base::time;
use crate::base::tokens::{Claims, IssuedToken, LIFETIME, random_token};
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::error::Thing;
use crate::people::refresh_token::RefreshToken;
use crate::people::users::DeviceId;
use crate::sockets::connections;
use crate::{Error, Result};

/// A session and its refresh tokens end after this many days without a refresh.
pub const DAYS: u32 = 7;
/// How long after an exchange the same refresh token may be answered again (`docs/contract.md`, "Sessions
/// and tokens").
const GRACE_SECONDS: u32 = 30;
/// Of this many used tokens in a row, one is stored. The reuse of any other is recognized by its successors, of which
/// one is stored within so many steps.
const STEPS: usize = 32;
/// The most sessions of a user. One more ends the oldest.
const MOST: usize = 100;
/// The most sessions beyond these that one login ends.
const SURPLUS: usize = 1000;

/// What a client gets when it signs in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// A JWT; see [`crate::base::tokens`].
    pub access_token: IssuedToken,
    /// Opaque, 256 random bits, valid for one refresh. `None` when a cookie carries it.
    pub refresh_token: Option<IssuedToken>,
    /// Seconds until the access token expires.
    pub expires_in: u64,
}

/// Opens a session for a user, inside the transaction that allowed it.
///
/// # Errors
/// The database's errors.
pub async fn open(
    transaction: &mut Transaction,
    app: &App,
    user_id: &UserId,
    (organization_id, role): (u64, Role),
    device_id: Option<&DeviceId>,
) -> Result<Tokens> {
    let session_id = random_token::<16>();
    let refresh_token = random_token::<32>();
    let now = time::now();
    transaction
        .exec_drop(
            "INSERT INTO sessions (session_id, user_id, device_id, created_at, expires_at)
             VALUES (:session_id, :user_id, :device_id, :now, UTC_TIMESTAMP(3) + INTERVAL :days DAY)",
            params! { "session_id" => &session_id, user_id, device_id, now, "days" => DAYS },
        )
        .await?;
    transaction
        .exec_drop(
            "INSERT INTO refresh_tokens (token_hash, session_id, created_at) VALUES (?, ?, ?)",
            (app.refresh_tokens.hash(&refresh_token)?, &session_id, now),
        )
        .await?;
    Ok(Tokens {
        access_token: app.access_tokens.issue(user_id, organization_id, role, &session_id)?,
        refresh_token: Some(refresh_token.into()),
        expires_in: LIFETIME,
    })
}

/// Ends a user's oldest sessions, so that a new one makes at most [`MOST`]. The caller has locked the user, so that
/// logins at the same time count each other. Returns the sockets to close.
///
/// # Errors
/// The database's errors.
pub(crate) async fn make_place(transaction: &mut Transaction, user_id: &UserId) -> Result<Vec<Socket>> {
    let surplus: Vec<String> = transaction
        .exec(
            "SELECT session_id FROM sessions FORCE INDEX (sessions_newest)
             WHERE user_id = ? AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3)
             ORDER BY created_at DESC, session_id DESC LIMIT ? OFFSET ?",
            (user_id, SURPLUS, MOST - 1),
        )
        .await?;
    if surplus.is_empty() { Ok(Vec::new()) } else { revoke(transaction, Which::These(&surplus)).await }
}

/// Selects the user of a session. A `WHERE` follows, and further joins may.
pub(crate) const SIGNED_IN: &str =
    "SELECT s.session_id, u.user_id, u.organization_id, u.name, u.role, u.prime
     FROM sessions s JOIN users u ON u.user_id = s.user_id";

#[derive(FromRow)]
pub(crate) struct SignedIn {
    session_id: String,
    user_id: UserId,
    organization_id: u64,
    name: String,
    role: Role,
    prime: bool,
}

impl SignedIn {
    pub(crate) fn user(self) -> User {
        User {
            user_id: self.user_id,
            organization_id: self.organization_id,
            name: self.name,
            role: self.role,
            prime: self.prime,
            session_id: self.session_id,
        }
    }
}

/// Returns the user of an access token with these claims, as the database knows them now.
///
/// # Errors
/// [`Error::Unauthenticated`] when the session has ended.
pub async fn signed_in(db: &Db, claims: &Claims) -> Result<User> {
    let row: Option<SignedIn> = db
        .first(
            &format!(
                "{SIGNED_IN} WHERE s.session_id = ? AND s.user_id = ?
                 AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3)"
            ),
            (&claims.sid, &claims.sub),
        )
        .await?;
    row.map(SignedIn::user).ok_or(Error::Unauthenticated)
}

/// Returns the user of a session, if it has not ended.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub async fn user_of(db: &Db, session_id: &str) -> Result<User> {
    let row: Option<SignedIn> = db
        .first(
            &format!(
                "{SIGNED_IN} WHERE s.session_id = ? AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3)"
            ),
            (session_id,),
        )
        .await?;
    row.map(SignedIn::user).ok_or(Error::Unauthenticated)
}

/// Exchanges a refresh token for its successor and a fresh access token.
///
/// The successor is derived from the old token, so that the answer can be given again. Within
/// [`GRACE_SECONDS`] of the exchange, and while the successor is unused, the old token gets the same
/// successor again (two tabs refreshing at once, a lost answer). Any other second use means that somebody
/// else has the token, so the session ends, whoever holds its newest token (RFC 9700 section 4.14.2).
///
/// A used token is remembered for [`DAYS`] after it was given: as long as it would have been valid unused, and so as
/// long as somebody may still hold it for valid. Later it is as unknown as any other expired token. Only one of
/// [`STEPS`] is stored for that, and the one before the newest, for the grace.
///
/// # Errors
/// [`Error::Unauthenticated`] for a token that is unknown or whose session has ended, [`Error::RateLimited`] after
/// `FRAME_LIMIT`.
pub async fn refresh(app: &App, token: &RefreshToken) -> Result<Rotation> {
    app.db.transaction((app, token.expose()), rotate).await
}

/// The outcome of using a refresh token.
#[derive(Debug)]
pub enum Rotation {
    /// The token was exchanged for these.
    Refreshed(Tokens),
    /// The token had already been used, so its session was revoked. These were the session's sockets.
    Reused(Vec<Socket>),
}

#[derive(FromRow)]
struct TokenRow {
    session_id: String,
    user_id: UserId,
    place: u32,
    is_rotated: bool,
    is_recent: bool,
}

async fn rotate(transaction: &mut Transaction, (app, token): (&App, &str)) -> Result<Rotation> {
    let hash = app.refresh_tokens.hash(token)?;
    // The lock covers the session's row too, so that all exchanges of a session and its end happen one
    // after another.
    let row: Option<TokenRow> = transaction
        .exec_first(
            "SELECT s.session_id, s.user_id, t.place, t.rotated_at IS NOT NULL AS is_rotated,
                    COALESCE(t.rotated_at > UTC_TIMESTAMP(3) - INTERVAL ? SECOND, FALSE) AS is_recent
             FROM refresh_tokens t JOIN sessions s ON s.session_id = t.session_id
             WHERE t.token_hash = ? AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3) FOR UPDATE",
            (GRACE_SECONDS, &hash),
        )
        .await?;
    let Some(row) = row else {
        let session_id = session_of_successors(transaction, app, token).await?;
        return Ok(Rotation::Reused(revoke(transaction, Which::Session(&session_id)).await?));
    };
    // A statement of its own, since users are locked before sessions, never after.
    let place: Option<(u64, Role)> = transaction
        .exec_first("SELECT organization_id, role FROM users WHERE user_id = ?", (&row.user_id,))
        .await?;
    let (organization_id, role) = place.ok_or(Error::Unauthenticated)?;
    let successor = app.refresh_tokens.successor(token)?;
    let successor_hash = app.refresh_tokens.hash(&successor)?;
    if row.is_rotated {
        let unused: Option<bool> = transaction
            .exec_first(
                "SELECT rotated_at IS NULL FROM refresh_tokens WHERE token_hash = ? FOR UPDATE",
                (&successor_hash,),
            )
            .await?;
        if !row.is_recent || unused != Some(true) {
            return Ok(Rotation::Reused(revoke(transaction, Which::Session(&row.session_id)).await?));
        }
    } else {
        transaction
            .exec_drop(
                "INSERT INTO refresh_tokens (token_hash, session_id, created_at, place) VALUES (?, ?, ?, ?)",
                (&successor_hash, &row.session_id, time::now(), row.place + 1),
            )
            .await?;
        transaction
            .exec_drop(
                "UPDATE refresh_tokens t JOIN sessions s ON s.session_id = t.session_id
                 SET t.rotated_at = UTC_TIMESTAMP(3), s.expires_at = UTC_TIMESTAMP(3) + INTERVAL ? DAY
                 WHERE t.token_hash = ?",
                (DAYS, &hash),
            )
            .await?;
        transaction
            .exec_drop(
                "DELETE FROM refresh_tokens
                 WHERE session_id = ? AND rotated_at IS NOT NULL AND token_hash <> ?
                   AND (place % ? <> 0 OR created_at < UTC_TIMESTAMP(3) - INTERVAL ? DAY)",
                (&row.session_id, &hash, STEPS, DAYS),
            )
            .await?;
        rate_limit::count_done(transaction, &app.config.limits, Limited::Frame(&row.user_id), 1).await?;
    }
    Ok(Rotation::Refreshed(Tokens {
        access_token: app.access_tokens.issue(&row.user_id, organization_id, role, &row.session_id)?,
        refresh_token: Some(successor.into()),
        expires_in: LIFETIME,
    }))
}

/// Returns the session of a used token that is not stored any more. The token was used, so its successor was given, and
/// one of [`STEPS`] successors is stored.
///
/// # Errors
/// [`Error::Unauthenticated`] when nobody was given the token, or when it or its session has expired.
async fn session_of_successors(transaction: &mut Transaction, app: &App, token: &str) -> Result<String> {
    let mut hashes = Vec::with_capacity(STEPS);
    let mut successor = token.to_owned();
    for _ in 0..STEPS {
        successor = app.refresh_tokens.successor(&successor)?;
        hashes.push(app.refresh_tokens.hash(&successor)?);
    }
    let found: Option<String> = transaction
        .exec_first(
            format!(
                "SELECT s.session_id FROM refresh_tokens t FORCE INDEX (PRIMARY)
                 STRAIGHT_JOIN sessions s FORCE INDEX (PRIMARY) ON s.session_id = t.session_id
                 WHERE t.token_hash IN ({}) AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3) LIMIT 1",
                places(STEPS)
            ),
            Params::Positional(hashes.into_iter().map(Value::from).collect()),
        )
        .await?;
    found.ok_or(Error::Unauthenticated)
}

/// Returns the user whose session has this refresh token, used or not, as the database knows them now.
///
/// # Errors
/// [`Error::Unauthenticated`] when the token is unknown or the session has ended.
pub async fn holder(app: &App, token: &RefreshToken) -> Result<User> {
    let hash = app.refresh_tokens.hash(token.expose())?;
    let row: Option<SignedIn> = app
        .db
        .first(
            &format!(
                "{SIGNED_IN} JOIN refresh_tokens t ON t.session_id = s.session_id
                 WHERE t.token_hash = ? AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3)"
            ),
            (hash,),
        )
        .await?;
    row.map(SignedIn::user).ok_or(Error::Unauthenticated)
}

/// A request to sign out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Logout {
    /// Ends all of the user's sessions, not only the current one.
    #[serde(deserialize_with = "fields::flag")]
    pub everywhere: bool,
}

impl Request for Logout {}

/// Ends the user's current session, or all of them. Returns the sockets to close.
///
/// # Errors
/// The database's errors.
pub async fn log_out(db: &Db, user: &User, logout: &Logout) -> Result<Vec<Socket>> {
    let which = match logout.everywhere {
        true => Which::Of(&user.user_id),
        false => Which::Session(&user.session_id),
    };
    db.transaction(which, revoke).await
}

/// A signed-in device, as its user sees it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Session {
    pub session_id: String,
    pub device_id: Option<String>,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
    /// When the session ends, unless it is refreshed before.
    #[serde(serialize_with = "time::serialize")]
    pub expires_at: NaiveDateTime,
    /// Whether this is the session that the request came with.
    pub current: bool,
}

/// Returns the user's live sessions, newest first.
///
/// # Errors
/// The database's errors. A 400 for a place that is none in this list.
pub async fn list(db: &Db, user: &User, slice: &Slice<{ MOST as u64 }>) -> Result<Sliced<Session>> {
    let after = slice.after.as_ref();
    let created_at = after.map(|place| time::of_millis(place.number).ok_or_else(Place::wrong)).transpose()?;
    let rows = db
        .rows(
            "SELECT session_id, device_id, created_at, expires_at, session_id = :current AS current
             FROM sessions FORCE INDEX (sessions_newest)
             WHERE user_id = :user_id AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3)
               AND (:created_at IS NULL OR created_at < :created_at
                    OR (created_at = :created_at AND session_id < :session_id))
             ORDER BY created_at DESC, session_id DESC LIMIT :rows",
            params! {
                "current" => &user.session_id,
                "user_id" => &user.user_id,
                created_at,
                "session_id" => after.map(|place| &place.text),
                "rows" => slice.rows(),
            },
        )
        .await?;
    Ok(slice.of(rows, |session: &Session| Place::new(time::millis(session.created_at), &session.session_id)))
}

text_type!(
    /// A session's id as a client gives it; a wrong one matches nothing.
    SessionId, |id| line(id, 1..=64)
);

/// Ends one of the user's sessions. Returns the sockets to close.
///
/// # Errors
/// [`Error::NotFound`] when the session is unknown, has ended, or belongs to somebody else.
pub async fn end_one(db: &Db, user: &User, session_id: &SessionId) -> Result<Vec<Socket>> {
    db.transaction((user, session_id), revoke_one).await
}

async fn revoke_one(
    transaction: &mut Transaction,
    (user, session_id): (&User, &SessionId),
) -> Result<Vec<Socket>> {
    let live: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM sessions WHERE session_id = ? AND user_id = ?
             AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3) FOR UPDATE",
            (session_id, &user.user_id),
        )
        .await?;
    live.ok_or(Error::NotFound(Thing::Session))?;
    still_signed_in(transaction, user, None).await?;
    revoke(transaction, Which::Session(session_id.as_str())).await
}

/// Checks that a user may still act, and keeps it so until the transaction ends: the socket that the request came from
/// is open, or, without a socket, the session is not revoked. Every act calls it under its locks, so that nothing is
/// committed once a logout has been answered.
///
/// # Errors
/// [`Error::Unauthenticated`] when they may not.
pub(crate) async fn still_signed_in(
    transaction: &mut Transaction,
    user: &User,
    by: Option<&ConnectionId>,
) -> Result<()> {
    if let Some(connection_id) = by {
        return connections::still_open(transaction, connection_id).await;
    }
    let live: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM sessions WHERE session_id = ? AND revoked_at IS NULL LOCK IN SHARE MODE",
            (&user.session_id,),
        )
        .await?;
    live.map(drop).ok_or(Error::Unauthenticated)
}

/// Checks that a session has not been revoked, and keeps it so until the transaction ends.
///
/// # Errors
/// [`Error::Unauthenticated`] when it has been revoked.
pub(crate) async fn still_live(transaction: &mut Transaction, session_id: &str) -> Result<()> {
    let live: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM sessions WHERE session_id = ? AND revoked_at IS NULL FOR UPDATE",
            (session_id,),
        )
        .await?;
    live.map(drop).ok_or(Error::Unauthenticated)
}

/// Which sessions to end.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    Session(&'a str),
    /// All sessions of a user.
    Of(&'a UserId),
    /// All sessions of a user but the one that the request came with.
    OthersThan(&'a User),
    /// The sessions of these ids.
    These(&'a [String]),
}

/// Marks sessions as revoked and lets them and their sockets expire, all in one transaction. Nothing that is
/// committed afterwards reaches these sockets, and they may do nothing any more. Returns the sockets.
pub(crate) async fn revoke(transaction: &mut Transaction, which: Which<'_>) -> Result<Vec<Socket>> {
    let (those, params) = match which {
        Which::Session(session_id) => ("session_id = :session_id".to_owned(), params! { session_id }),
        Which::Of(user_id) => ("user_id = :user_id".to_owned(), params! { user_id }),
        Which::OthersThan(user) => (
            "user_id = :user_id AND session_id <> :session_id".to_owned(),
            params! { "user_id" => &user.user_id, "session_id" => &user.session_id },
        ),
        Which::These(session_ids) => (
            format!("session_id IN ({})", places(session_ids.len())),
            Params::Positional(session_ids.iter().map(Value::from).collect()),
        ),
    };
    // The sweep erases what has expired.
    transaction
        .exec_drop(
            format!(
                "UPDATE sessions SET revoked_at = UTC_TIMESTAMP(3), expires_at = LEAST(expires_at, UTC_TIMESTAMP(3))
                 WHERE revoked_at IS NULL AND {those}"
            ),
            params.clone(),
        )
        .await?;
    let sockets: Vec<Socket> = transaction
        .exec(
            format!(
                "SELECT connection_id, protocol FROM connections WHERE expires_at > UTC_TIMESTAMP(3) AND {those} FOR UPDATE"
            ),
            params,
        )
        .await?;
    connections::end(transaction, &sockets).await?;
    Ok(sockets)
}
