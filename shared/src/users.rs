//! Users: who they are, registration, login and profiles (contract section 1).

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::auth::password::{NewPassword, Password};
use crate::auth::session::{self, Tokens};
use crate::config::SignupGrants;
use crate::db::{duplicate_key, stored_enum};
use crate::error::Thing;
use crate::fields::{Fields, Flag, Missing, Read, WholeNumber};
use crate::text::{line, text_type};
use crate::{Error, Result, coins, organizations, time};

/// The most coins that a registration may claim.
const MOST_CLAIMED: u64 = 1_000_000;

text_type!(
    /// A user's public id: 1 to 64 of `[A-Za-z0-9._-]`, beginning with a letter or digit, not `me`.
    UserId, id, |id| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let well_formed = id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed) && id.len() <= 64;
        match id.as_str() {
            "me" => Err("must not be `me`, which stands for yourself".to_owned()),
            _ if well_formed => Ok(id),
            _ => Err("must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit".to_owned()),
        }
    }
);

text_type!(
    /// A username: 1 to 64 printable characters, inner spaces allowed, no `@`, not all digits, so
    /// that it is taken neither for an e-mail address nor for an id.
    Username, |name| {
        let name = line(name, 1..=64)?;
        match () {
            () if name.trim() != name => Err("must not begin or end with a space".to_owned()),
            () if name.contains('@') => Err("must have no @".to_owned()),
            () if name.chars().all(|c| c.is_ascii_digit()) => Err("must not be all digits".to_owned()),
            () => Ok(name),
        }
    }
);

text_type!(
    /// An e-mail address, as far as one can tell without sending to it.
    Email, |email| {
        let email = line(email, 3..=254)?;
        let parts = email.split_once('@');
        match parts {
            Some((local, domain))
                if !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !email.contains(char::is_whitespace) =>
            {
                Ok(email)
            }
            _ => Err("must be an e-mail address".to_owned()),
        }
    }
);

text_type!(
    /// A phone number in E.164: `+` and at most 15 digits; spaces and dashes are removed.
    Phone, |phone| {
        let phone: String = phone.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let digits = phone.strip_prefix('+').unwrap_or_default();
        if (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(phone)
        } else {
            Err("must be a phone number in E.164, like +919876543210".to_owned())
        }
    }
);

text_type!(
    /// A name to show: 1 to 100 characters.
    Name, |name| match line(name, 1..=100)? {
        name if name.trim().is_empty() => Err("must not be blank".to_owned()),
        name => Ok(name),
    }
);

text_type!(
    /// What a client calls its device: at most 128 characters.
    DeviceId, id, |id| line(id, 0..=128)
);

/// A role in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May everything in the organization.
    Admin,
    /// May make channels.
    Moderator,
    /// What everybody starts as.
    User,
}

stored_enum!(Role { Admin => "admin", Moderator => "moderator", User => "user" });

/// The user behind a request, as the database knew them when it began.
#[derive(Clone, Debug)]
pub struct User {
    /// The public id.
    pub user_id: UserId,
    /// The tenant.
    pub organization_id: u64,
    /// The name to show.
    pub name: String,
    /// The role in the organization.
    pub role: Role,
    /// Whether the user is prime.
    pub prime: bool,
    /// The session that the request came with.
    pub session_id: String,
}

impl User {
    /// Checks the `userId` that a client may give for the acting user (contract section 1).
    ///
    /// # Errors
    /// [`Error::IdentityMismatch`] when it is somebody else's.
    pub fn is(&self, given: Option<&UserId>) -> Result<()> {
        match given {
            Some(given) if *given != self.user_id => Err(Error::IdentityMismatch),
            _ => Ok(()),
        }
    }
}

/// A request to register.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Registration {
    pub user_id: Option<UserId>,
    pub device_id: Option<DeviceId>,
    pub name: Option<Name>,
    pub username: Option<Username>,
    pub email: Option<Email>,
    pub phone: Option<Phone>,
    pub password: NewPassword,
    pub avail_coins: Option<u64>,
    pub prime: Option<bool>,
    pub organization_name: Option<Name>,
    pub role: Option<Role>,
}

impl Read for Registration {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let user_id = fields.optional("userId");
        let device_id = fields.optional("deviceId");
        let name = fields.optional("name");
        let username = fields.optional("username");
        let email = fields.optional("email");
        let phone = fields.optional("phone");
        let password = fields.required("password");
        let avail_coins = fields.optional("availCoins").map(|coins| coins.map(|WholeNumber(coins)| coins));
        if matches!(avail_coins, Ok(Some(coins)) if coins > MOST_CLAIMED) {
            fields.wrong("availCoins", format!("must be 0 to {MOST_CLAIMED}"));
        }
        let prime = fields.optional("isPrime");
        let prime_member = fields.optional("isPrimeMember");
        let organization_name = fields.optional("organizationName");
        let role = fields.optional::<Value>("role").and_then(|role| {
            role.map(|role| {
                Role::deserialize(role).map_err(|_| {
                    fields.wrong("role", "must be admin, moderator or user");
                    Missing
                })
            })
            .transpose()
        });
        Ok(Self {
            user_id: user_id?,
            device_id: device_id?,
            name: name?,
            username: username?,
            email: email?,
            phone: phone?,
            password: password?,
            avail_coins: avail_coins?,
            prime: prime?.or(prime_member?).map(|Flag(prime)| prime),
            organization_name: organization_name?,
            role: role?,
        })
    }
}

/// What a registration answers.
#[derive(Serialize)]
pub struct Registered {
    /// The new user's own profile.
    pub user: OwnProfile,
    /// The first session.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// What was asked for and not given, a sentence each.
    pub warnings: Vec<&'static str>,
}

/// The row that a registration inserts; see the fields of [`Registration`].
struct NewUser {
    user_id: UserId,
    name: String,
    password_hash: String,
    coins: i64,
    prime: bool,
    registration: Registration,
}

/// Registers a user in `public` and signs them in.
///
/// # Errors
/// [`Error::RoleNotAllowed`] for a role above `user`, [`Error::UserExists`] when an identifier is taken.
pub async fn register(app: &App, registration: Registration) -> Result<Registered> {
    let mut warnings = Vec::new();
    let claims_role = !matches!(registration.role, None | Some(Role::User));
    match registration.organization_name {
        None if claims_role => return Err(Error::RoleNotAllowed),
        None => {}
        Some(_) => warnings
            .push("organizationName is not in use yet: the user is in `public`, with the role `user`."),
    }
    let claimed_coins = registration.avail_coins.map(|coins| coins as i64);
    let (coins, prime) = match app.config.signup_grants {
        SignupGrants::Open => {
            (claimed_coins.unwrap_or(app.config.starting_coins), registration.prime.unwrap_or(false))
        }
        SignupGrants::Closed => {
            if claimed_coins.is_some_and(|coins| coins != app.config.starting_coins) {
                warnings.push("availCoins was not given: the operator grants coins.");
            }
            if registration.prime == Some(true) {
                warnings.push("isPrime was not given: the operator makes users prime.");
            }
            (app.config.starting_coins, false)
        }
    };
    let password_hash = app.passwords.hash(registration.password.clone()).await?;
    let user_id = registration.user_id.clone().unwrap_or_else(generated_id);
    let name = registration.name.as_ref().map(Name::as_str);
    let name =
        name.or(registration.username.as_ref().map(Username::as_str)).unwrap_or(user_id.as_str()).to_owned();
    let new = NewUser { user_id, name, password_hash, coins, prime, registration };
    let (user, tokens) = app.db.transaction((app, &new), insert).await?;
    Ok(Registered { user, tokens, warnings })
}

async fn insert(
    transaction: &mut Transaction<'static>,
    (app, new): (&App, &NewUser),
) -> Result<(OwnProfile, Tokens)> {
    let registration = &new.registration;
    let inserted = transaction
        .exec_drop(
            "INSERT INTO users (user_id, organization_id, username, username_key, email, email_key, phone, name,
                                device_id, password_hash, role, prime, created_at)
             VALUES (:user_id, :organization_id, :username, :username_key, :email, :email_key, :phone, :name,
                     :device_id, :password_hash, 'user', :prime, :now)",
            params! {
                "user_id" => &new.user_id,
                "organization_id" => organizations::PUBLIC,
                "username" => registration.username.as_ref(),
                "username_key" => registration.username.as_ref().map(|name| name.as_str().to_lowercase()),
                "email" => registration.email.as_ref(),
                "email_key" => registration.email.as_ref().map(|email| email.as_str().to_lowercase()),
                "phone" => registration.phone.as_ref(),
                "name" => &new.name,
                "device_id" => registration.device_id.as_ref(),
                "password_hash" => &new.password_hash,
                "prime" => new.prime,
                "now" => time::now(),
            },
        )
        .await;
    if let Err(error) = inserted {
        return Err(match duplicate_key(&error) {
            Some("users_username") => Error::UserExists { field: "username" },
            Some("users_email") => Error::UserExists { field: "email" },
            Some("users_phone") => Error::UserExists { field: "phone" },
            Some(_) => Error::UserExists { field: "userId" },
            None => error.into(),
        });
    }
    if new.coins > 0 {
        coins::change(transaction, &new.user_id, new.coins, coins::Reason::Signup).await?;
    }
    let place = (organizations::PUBLIC, Role::User);
    let tokens =
        session::open(transaction, app, &new.user_id, place, registration.device_id.as_ref()).await?;
    let row: Option<ProfileRow> =
        transaction.exec_first(PROFILE, (&new.user_id, organizations::PUBLIC)).await?;
    let row = row.ok_or_else(|| Error::internal("a user just inserted is not there"))?;
    Ok((row.own(), tokens))
}

/// 16 random letters and digits, of which there are 10^24.
fn generated_id() -> UserId {
    use rand::RngExt;
    use rand::distr::Alphanumeric;
    UserId::stored(rand::rng().sample_iter(Alphanumeric).take(16).map(char::from).collect())
}

/// By what a user signs in.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub enum Identifier {
    /// Tried as userId, then email, username, phone.
    Any(String),
    UserId(String),
    Username(String),
    Email(String),
    Phone(String),
}

/// A request to sign in.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Login {
    pub identifier: Identifier,
    pub password: Password,
    pub device_id: Option<DeviceId>,
}

text_type!(
    /// What was typed to say who one is: a wrong one finds nobody, so it is not checked further.
    Typed, id, |typed| line(typed, 1..=254)
);

impl Read for Login {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        const NAMES: [&str; 5] = ["identifier", "userId", "username", "email", "phone"];
        let given = NAMES.map(|name| fields.optional::<Typed>(name));
        let password = fields.required("password");
        let device_id = fields.optional("deviceId");
        let [any, user_id, username, email, phone] = given;
        let identifiers = [
            any?.map(|typed| Identifier::Any(typed.0)),
            user_id?.map(|typed| Identifier::UserId(typed.0)),
            username?.map(|typed| Identifier::Username(typed.0)),
            email?.map(|typed| Identifier::Email(typed.0)),
            phone?.map(|typed| Identifier::Phone(typed.0)),
        ];
        let mut identifiers = identifiers.into_iter().flatten();
        let (Some(identifier), None) = (identifiers.next(), identifiers.next()) else {
            fields.wrong(
                "identifier",
                "must be given, or instead just one of userId, username, email and phone",
            );
            return Err(Missing);
        };
        Ok(Self { identifier, password: password?, device_id: device_id? })
    }
}

/// What a login answers.
#[derive(Serialize)]
pub struct LoggedIn {
    /// The user's own profile.
    pub user: OwnProfile,
    /// The new session.
    #[serde(flatten)]
    pub tokens: Tokens,
}

/// Signs a user in: a new session.
///
/// # Errors
/// [`Error::InvalidCredentials`] for an unknown user and a wrong password alike, after the same time.
pub async fn login(app: &App, login: Login) -> Result<LoggedIn> {
    const NOBODY: &str = "";
    let (any, user_id, username, email, phone) = match &login.identifier {
        Identifier::Any(text) => (true, text.as_str(), text.as_str(), text.as_str(), text.as_str()),
        Identifier::UserId(id) => (false, id.as_str(), NOBODY, NOBODY, NOBODY),
        Identifier::Username(name) => (false, NOBODY, name.as_str(), NOBODY, NOBODY),
        Identifier::Email(email) => (false, NOBODY, NOBODY, email.as_str(), NOBODY),
        Identifier::Phone(phone) => (false, NOBODY, NOBODY, NOBODY, phone.as_str()),
    };
    let phone = Phone::try_from(phone.to_owned()).map_or(String::new(), |phone| phone.0);
    let email_key = email.to_lowercase();
    let found: Option<(String, u64, Role, String)> = app
        .db
        .first(
            "SELECT user_id, organization_id, role, password_hash FROM users
             WHERE user_id = :user_id OR email_key = :email_key OR username_key = :username_key OR phone = :phone
             ORDER BY :any AND user_id = :user_id DESC, :any AND email_key <=> :email_key DESC,
                      :any AND username_key <=> :username_key DESC
             LIMIT 1",
            params! { any, user_id, email_key, "username_key" => username.to_lowercase(), phone },
        )
        .await?;
    let (user, hash) = match found {
        Some((user_id, organization_id, role, hash)) => {
            (Some((UserId(user_id), organization_id, role)), Some(hash))
        }
        None => (None, None),
    };
    let right = app.passwords.verify(login.password, hash).await?;
    let (Some((user_id, organization_id, role)), true) = (user, right) else {
        return Err(Error::InvalidCredentials);
    };
    let place = (organization_id, role);
    let (user, tokens) =
        app.db.transaction((app, &user_id, place, login.device_id.as_ref()), sign_in).await?;
    Ok(LoggedIn { user, tokens })
}

async fn sign_in(
    transaction: &mut Transaction<'static>,
    (app, user_id, place, device_id): (&App, &UserId, (u64, Role), Option<&DeviceId>),
) -> Result<(OwnProfile, Tokens)> {
    let tokens = session::open(transaction, app, user_id, place, device_id).await?;
    let row: Option<ProfileRow> = transaction.exec_first(PROFILE, (user_id, place.0)).await?;
    Ok((row.ok_or(Error::InvalidCredentials)?.own(), tokens))
}

/// A profile as everybody of the organization sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Profile {
    pub user_id: String,
    pub username: Option<String>,
    pub name: String,
    pub role: Role,
    pub prime: bool,
    /// Whether the user has a socket open.
    pub online: bool,
}

/// A user's own profile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct OwnProfile {
    #[serde(flatten)]
    pub public: Profile,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub device_id: Option<String>,
    pub avail_coins: i64,
    pub organization: Organization,
}

/// The organization of a profile.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Organization {
    pub id: u64,
    pub name: String,
}

/// A profile as the asker may see it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum SeenProfile {
    /// One's own.
    Own(Box<OwnProfile>),
    /// Somebody else's.
    Public(Profile),
}

const PROFILE: &str = "
    SELECT u.user_id, u.username, u.name, u.role, u.prime, u.email, u.phone, u.device_id, u.avail_coins,
           o.id AS organization_id, o.name AS organization_name,
           EXISTS (SELECT 1 FROM connections c
                   WHERE c.user_id = u.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online
    FROM users u JOIN organizations o ON o.id = u.organization_id
    WHERE u.user_id = ? AND u.organization_id = ?";

#[derive(FromRow)]
struct ProfileRow {
    user_id: String,
    username: Option<String>,
    name: String,
    role: Role,
    prime: bool,
    online: bool,
    email: Option<String>,
    phone: Option<String>,
    device_id: Option<String>,
    avail_coins: i64,
    organization_id: u64,
    organization_name: String,
}

impl ProfileRow {
    fn public(self) -> Profile {
        self.own().public
    }

    fn own(self) -> OwnProfile {
        OwnProfile {
            public: Profile {
                user_id: self.user_id,
                username: self.username,
                name: self.name,
                role: self.role,
                prime: self.prime,
                online: self.online,
            },
            email: self.email,
            phone: self.phone,
            device_id: self.device_id,
            avail_coins: self.avail_coins,
            organization: Organization { id: self.organization_id, name: self.organization_name },
        }
    }
}

/// The profile of a user of the asker's organization.
///
/// # Errors
/// [`Error::NotFound`] for an unknown user and one of another organization alike.
pub async fn profile(app: &App, asker: &User, user_id: &UserId) -> Result<SeenProfile> {
    let row: Option<ProfileRow> = app.db.first(PROFILE, (user_id, asker.organization_id)).await?;
    let row = row.ok_or(Error::NotFound(Thing::User))?;
    if row.user_id == asker.user_id.as_str() {
        Ok(SeenProfile::Own(Box::new(row.own())))
    } else {
        Ok(SeenProfile::Public(row.public()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<T: TryFrom<String>>(text: &str) -> bool {
        T::try_from(text.to_owned()).is_ok()
    }

    #[test]
    fn user_ids_are_url_safe_and_never_me() {
        for good in ["a", "1", "ann.b_c-d", &"x".repeat(64)] {
            assert!(parsed::<UserId>(good), "{good}");
        }
        for bad in ["", "me", ".a", "-a", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(!parsed::<UserId>(bad), "{bad}");
        }
    }

    #[test]
    fn usernames_are_neither_addresses_nor_numbers() {
        for good in ["manoj singh", "Zoë", "7of9"] {
            assert!(parsed::<Username>(good), "{good}");
        }
        for bad in ["", " a", "a ", "a@b", "123", "a\nb", &"x".repeat(65)] {
            assert!(!parsed::<Username>(bad), "{bad}");
        }
    }

    #[test]
    fn phones_are_stored_without_spaces_and_dashes() {
        assert_eq!(Phone::try_from("+91 98765-43210".to_owned()).unwrap().as_str(), "+919876543210");
        for bad in ["9876543210", "+0123", "+1", "+1234567890123456", "+12a", ""] {
            assert!(!parsed::<Phone>(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_has_something_on_each_side_of_one_at() {
        assert!(parsed::<Email>("manoj@examplue.com"));
        for bad in ["a", "@b", "a@", "a@b@c", "a b@c", "a@b\n"] {
            assert!(!parsed::<Email>(bad), "{bad}");
        }
    }
}
