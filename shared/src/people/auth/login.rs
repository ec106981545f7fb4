//! Login: any of a user's identifiers and the password open a new session (`docs/contract.md`, "Login").

use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::Serialize;

use crate::app::App;
use crate::base::attempts::attempt;
use crate::base::fields::{Fields, Missing, Read};
use crate::base::ids::UserId;
use crate::base::password::{Password, Turn};
use crate::base::rate_limit::Limited;
use crate::base::socket::Socket;
use crate::base::text::{key, line, text_type};
use crate::base::transaction::Transaction;
use crate::base::user::Role;
use crate::people::profiles::{self, OwnProfile};
use crate::people::refresh_token::Keeping;
use crate::people::sessions::{self, Tokens};
use crate::people::users::{DeviceId, Identifier, Phone};
use crate::{Error, Result};

/// A request to sign in.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Login {
    pub identifier: Identifier,
    pub password: Password,
    pub device_id: Option<DeviceId>,
    pub session: Keeping,
}

text_type!(
    /// What somebody typed to identify themselves. A wrong one matches nobody, so it is not checked
    /// further.
    Typed, id, |typed| line(typed, 1..=254)
);

impl Read for Login {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        const NAMES: [&str; 5] = ["identifier", "userId", "username", "email", "phone"];
        let given = NAMES.map(|name| fields.optional::<Typed>(name));
        let password = fields.required("password");
        let device_id = fields.optional("deviceId");
        let session = fields.optional("session");
        let [any, user_id, username, email, phone] = given;
        let identifiers = [
            any?.map(|typed| Identifier::Any(typed.to_string())),
            user_id?.map(|typed| Identifier::UserId(typed.to_string())),
            username?.map(|typed| Identifier::Username(typed.to_string())),
            email?.map(|typed| Identifier::Email(typed.to_string())),
            phone?.map(|typed| Identifier::Phone(typed.to_string())),
        ];
        let mut identifiers = identifiers.into_iter().flatten();
        let (Some(identifier), None) = (identifiers.next(), identifiers.next()) else {
            fields.wrong(
                "identifier",
                "must be given, or instead just one of userId, username, email and phone",
            );
            return Err(Missing);
        };
        Ok(Self {
            identifier,
            password: password?,
            device_id: device_id?,
            session: session?.unwrap_or_default(),
        })
    }
}

/// The answer to a login.
#[derive(Debug, Serialize)]
pub struct LoggedIn {
    /// The user's own profile.
    pub user: OwnProfile,
    /// The new session.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// The sockets of sessions that ended because the user had too many.
    #[serde(skip)]
    pub ended: Vec<Socket>,
}

/// Signs a user in with a new session, for a client at `address`. The caller closes the sockets of the sessions that
/// ended for it.
///
/// # Errors
/// [`Error::RateLimited`] after `PASSWORD_LIMIT` failures with one user, by whichever identifier, and after `LOGIN_LIMIT`
/// failures from one address; [`Error::InvalidCredentials`] for an unknown user and for a wrong password alike, after
/// the same time; [`Error::Overloaded`] when too many passwords wait to be checked.
pub async fn login(app: &App, address: &str, login: Login) -> Result<LoggedIn> {
    const NOBODY: &str = "";
    let (any, user_id, username, email, phone) = match &login.identifier {
        Identifier::Any(text) => (true, text.trim(), text.as_str(), text.as_str(), text.as_str()),
        Identifier::UserId(id) => (false, id.trim(), NOBODY, NOBODY, NOBODY),
        Identifier::Username(name) => (false, NOBODY, name.as_str(), NOBODY, NOBODY),
        Identifier::Email(email) => (false, NOBODY, NOBODY, email.as_str(), NOBODY),
        Identifier::Phone(phone) => (false, NOBODY, NOBODY, NOBODY, phone.as_str()),
    };
    let phone = Phone::try_from(phone.to_owned()).map_or(String::new(), |phone| phone.to_string());
    let email_key = key(email);
    let found: Vec<(UserId, String)> = app
        .db
        .rows(
            "SELECT user_id, password_hash FROM users
             WHERE user_id = :user_id OR email_key = :email_key OR username_key = :username_key OR phone = :phone
             ORDER BY :any AND user_id = :user_id DESC, :any AND email_key <=> :email_key DESC,
                      :any AND username_key <=> :username_key DESC",
            params! { any, user_id, email_key, "username_key" => key(username), phone },
        )
        .await?;
    let users = found.iter().map(|(user_id, _)| Identifier::UserId(user_id.to_string()).counted());
    let mut counted: Vec<String> = users.collect();
    if counted.is_empty() {
        counted.push(login.identifier.counted());
    }
    let mut limited = vec![Limited::Address(address)];
    limited.extend(counted.iter().map(|who| Limited::Login(who, address)));
    let password = &login.password;
    let user =
        attempt(&app.db, &app.config.limits, &limited, async |turn| whose(app, password, found, turn).await);
    let Some((user_id, hash)) = user.await? else {
        return Err(Error::InvalidCredentials);
    };
    let device_id = login.device_id.as_ref();
    let (user, tokens, ended) =
        app.db.transaction((app, &user_id, hash.as_str(), device_id), sign_in).await?;
    if let Some(renewed) = app.passwords.renew(login.password, &hash).await? {
        let sql = "UPDATE users SET password_hash = ? WHERE user_id = ? AND password_hash = ?";
        app.db.execute(sql, (renewed, &user_id, hash)).await?;
    }
    Ok(LoggedIn { user, tokens, ended })
}

/// Returns the user whose password this is, among those that an identifier may mean, and its hash. There
/// are two such users when one's username is the other's userId: nobody can take over another user's logins
/// by choosing that name.
async fn whose(
    app: &App,
    password: &Password,
    found: Vec<(UserId, String)>,
    turn: Turn,
) -> Result<Option<(UserId, String)>> {
    if found.is_empty() {
        app.passwords.verify(password.clone(), None, turn).await?;
    }
    for (user_id, hash) in found {
        if app.passwords.verify(password.clone(), Some(hash.clone()), turn).await? {
            return Ok(Some((user_id, hash)));
        }
    }
    Ok(None)
}

async fn sign_in(
    transaction: &mut Transaction,
    (app, user_id, verified, device_id): (&App, &UserId, &str, Option<&DeviceId>),
) -> Result<(OwnProfile, Tokens, Vec<Socket>)> {
    let row: Option<(u64, Role, String)> = transaction
        .exec_first(
            "SELECT organization_id, role, password_hash FROM users WHERE user_id = ? FOR UPDATE",
            (user_id,),
        )
        .await?;
    // A new password ends every session. That includes a session that the old password was just about to
    // open.
    let Some((organization_id, role, _)) = row.filter(|(_, _, hash)| hash == verified) else {
        return Err(Error::InvalidCredentials);
    };
    let ended = sessions::make_place(transaction, user_id).await?;
    let tokens = sessions::open(transaction, app, user_id, (organization_id, role), device_id).await?;
    let user = profiles::own(transaction, user_id, organization_id).await?;
    Ok((user, tokens, ended))
}
