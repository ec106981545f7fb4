//! Tickets. A browser cannot send a header with a handshake, and a token in a URL ends up in logs. A ticket
//! in a log is worthless after a minute, or once it was used (`docs/contract.md`, "Sessions and tokens").

use mysql_async::prelude::Queryable;
use serde::Serialize;

use crate::app::App;
use crate::base::rate_limit::{self, Limited};
use crate::base::sha256::sha256;
use crate::base::tokens::{IssuedToken, random_token};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::people::sessions;
use crate::people::sessions::SIGNED_IN;
use crate::{Error, Result};

/// How long a ticket is valid, in seconds.
const LIFETIME: u32 = 60;

/// A ticket, shown only once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// 256 random bits.
    pub ticket: IssuedToken,
    /// How long the ticket is valid, in seconds.
    pub expires_in: u32,
}

/// Creates a ticket that is bound to the user's session.
///
/// # Errors
/// [`Error::RateLimited`] after `TICKET_LIMIT`.
pub async fn create(app: &App, user: &User) -> Result<Ticket> {
    rate_limit::count(&app.db, &app.config.limits, Limited::Ticket(&user.user_id)).await?;
    let ticket = random_token::<32>();
    app.db
        .execute(
            "INSERT INTO tickets (ticket_hash, session_id, expires_at)
             VALUES (?, ?, UTC_TIMESTAMP(3) + INTERVAL ? SECOND)
             ON DUPLICATE KEY UPDATE expires_at = expires_at",
            (sha256(&[ticket.as_bytes()]), &user.session_id, LIFETIME),
        )
        .await?;
    Ok(Ticket { ticket: ticket.into(), expires_in: LIFETIME })
}

/// Uses a ticket up and returns its user.
///
/// # Errors
/// [`Error::Unauthenticated`] when the ticket is unknown, used or expired, or its session has ended.
pub async fn redeem(app: &App, ticket: &str) -> Result<User> {
    app.db.transaction(sha256(&[ticket.as_bytes()]).as_slice(), take).await
}

async fn take(transaction: &mut Transaction, hash: &[u8]) -> Result<User> {
    let row: Option<sessions::SignedIn> = transaction
        .exec_first(
            format!(
                "{SIGNED_IN} JOIN tickets t ON t.session_id = s.session_id
                 WHERE t.ticket_hash = ? AND t.expires_at > UTC_TIMESTAMP(3)
                   AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3)"
            ),
            (hash,),
        )
        .await?;
    // The row's lock lets only one of several requests delete the ticket, and that request may use it.
    transaction.exec_drop("DELETE FROM tickets WHERE ticket_hash = ?", (hash,)).await?;
    match row {
        Some(row) if transaction.affected_rows() == 1 => Ok(row.user()),
        _ => Err(Error::Unauthenticated),
    }
}
