//! What users set for themselves (`docs/contract.md`, "Settings of one's own").

use mysql_async::prelude::{FromRow, Queryable};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::db::Db;
use crate::base::fields::{Flag, Request};
use crate::base::rate_limit::{self, Limited};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::config::Limits;
use crate::people::sessions;
use crate::{Error, Result};

/// A user's own settings, which nobody else sees.
#[derive(Clone, Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Whether others see when the user is online, and the user sees it of others.
    #[mysql(rename = "shows_presence")]
    pub show_presence: bool,
}

const SETTINGS: &str = "SELECT shows_presence FROM users WHERE user_id = ?";

/// Returns a user's settings.
///
/// # Errors
/// [`Error::Unauthenticated`] when there is no such user.
pub async fn read(db: &Db, user: &User) -> Result<Settings> {
    db.first(SETTINGS, (&user.user_id,)).await?.ok_or(Error::Unauthenticated)
}

/// A request to change one's settings. Absent fields keep their values.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct SettingsUpdate {
    pub show_presence: Option<Flag>,
}

impl Request for SettingsUpdate {}

/// Settings after a request to change them.
#[derive(Debug)]
pub struct Updated {
    /// The settings as they are now.
    pub settings: Settings,
    /// Whether the request changed `show_presence`.
    pub presence_changed: bool,
}

/// Changes a user's settings.
///
/// # Errors
/// [`Error::RateLimited`] after too many changes that others are told of.
pub async fn update(app: &App, user: &User, change: &SettingsUpdate) -> Result<Updated> {
    app.db.transaction((user, change, &app.config.limits), apply).await
}

async fn apply(
    transaction: &mut Transaction,
    (user, change, limits): (&User, &SettingsUpdate, &Limits),
) -> Result<Updated> {
    let before: Option<Settings> =
        transaction.exec_first(format!("{SETTINGS} FOR UPDATE"), (&user.user_id,)).await?;
    let mut settings = before.ok_or(Error::Unauthenticated)?;
    sessions::still_signed_in(transaction, user, None).await?;
    let Some(Flag(show_presence)) =
        change.show_presence.filter(|Flag(shows)| *shows != settings.show_presence)
    else {
        return Ok(Updated { settings, presence_changed: false });
    };
    let sql = "UPDATE users SET shows_presence = ? WHERE user_id = ?";
    transaction.exec_drop(sql, (show_presence, &user.user_id)).await?;
    rate_limit::count_done(transaction, limits, Limited::Shown(&user.user_id), 1).await?;
    settings.show_presence = show_presence;
    Ok(Updated { settings, presence_changed: true })
}
