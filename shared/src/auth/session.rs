//! Sessions: one for each device that signed in (contract section 3, "Sessions").

use aws_lc_rs::hmac;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, params};
use serde::Serialize;

use super::access_token::LIFETIME;
use super::random_token;
use crate::app::App;
use crate::config::Config;
use crate::users::{DeviceId, Role, User, UserId};
use crate::{Error, Result, time};

/// A session and its refresh tokens end after this many days without a refresh.
const DAYS: u32 = 7;

/// What a client gets when it signs in.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// A JWT; see [`super::access_token`].
    pub access_token: String,
    /// Opaque, 256 random bits; good for one refresh.
    pub refresh_token: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
}

/// The key under which refresh tokens are hashed.
#[derive(Clone)]
pub struct RefreshTokens(hmac::Key);

impl std::fmt::Debug for RefreshTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshTokens(…)")
    }
}

impl RefreshTokens {
    /// The key of `REFRESH_SECRET`.
    pub fn new(config: &Config) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, config.refresh_secret.as_bytes()))
    }

    /// What is stored of a token.
    fn hash(&self, token: &str) -> Vec<u8> {
        hmac::sign(&self.0, token.as_bytes()).as_ref().to_vec()
    }
}

/// Opens a session for a user, inside the transaction that decided to.
///
/// # Errors
/// The database's.
pub async fn open(
    transaction: &mut Transaction<'static>,
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
            format!(
                "INSERT INTO sessions (session_id, user_id, device_id, created_at, expires_at)
                 VALUES (:session_id, :user_id, :device_id, :now, UTC_TIMESTAMP(3) + INTERVAL {DAYS} DAY)"
            ),
            params! { "session_id" => &session_id, user_id, device_id, now },
        )
        .await?;
    transaction
        .exec_drop(
            "INSERT INTO refresh_tokens (token_hash, session_id, created_at) VALUES (?, ?, ?)",
            (app.refresh_tokens.hash(&refresh_token), &session_id, now),
        )
        .await?;
    Ok(Tokens {
        access_token: app.access_tokens.issue(user_id, organization_id, role, &session_id)?,
        refresh_token,
        expires_in: LIFETIME,
    })
}

#[derive(FromRow)]
struct SessionRow {
    user_id: String,
    organization_id: u64,
    name: String,
    role: Role,
    prime: bool,
}

/// The user whose access token this is, as the database knows them now.
///
/// # Errors
/// [`Error::Unauthenticated`] when the token is bad or its session has ended.
pub async fn authenticate(app: &App, access_token: &str) -> Result<User> {
    let claims = app.access_tokens.verify(access_token)?;
    let row: Option<SessionRow> = app
        .db
        .first(
            "SELECT u.user_id, u.organization_id, u.name, u.role, u.prime
             FROM sessions s JOIN users u ON u.user_id = s.user_id
             WHERE s.session_id = ? AND s.user_id = ? AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3)",
            (&claims.sid, &claims.sub),
        )
        .await?;
    let row = row.ok_or(Error::Unauthenticated)?;
    Ok(User {
        user_id: UserId::stored(row.user_id),
        organization_id: row.organization_id,
        name: row.name,
        role: row.role,
        prime: row.prime,
        session_id: claims.sid,
    })
}
