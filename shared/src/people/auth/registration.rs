//! Registration: a new user, signed in (`docs/contract.md`, "Users" and "Signup grants").

use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::app::App;
use crate::base::fields::{self, Flag, Request, WholeNumber};
use crate::base::ids::UserId;
use crate::base::password::NewPassword;
use crate::base::rate_limit::{self, Limited};
use crate::base::text::key;
use crate::base::time;
use crate::base::tokens::IssuedToken;
use crate::base::transaction::Transaction;
use crate::base::user::Role;
use crate::config::SignupGrants;
use crate::people::coins;
use crate::people::names;
use crate::people::organizations::{self, Entered, JoinCode, Known};
use crate::people::profiles::{self, OwnProfile};
use crate::people::refresh_token::Keeping;
use crate::people::sessions::{self, Tokens};
use crate::people::users::{self, DeviceId, Email, Name, Phone, Username};
use crate::{Error, Result};

/// The most coins that a registration may claim.
const MOST_CLAIMED: u64 = 1_000_000;

/// The coins that a registration claims: 0 to 1,000,000.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedCoins(i64);

impl<'de> Deserialize<'de> for ClaimedCoins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match WholeNumber::deserialize(deserializer)? {
            WholeNumber(coins) if coins <= MOST_CLAIMED => Ok(Self(coins as i64)),
            _ => Err(de::Error::custom(format!("must be 0 to {MOST_CLAIMED}"))),
        }
    }
}

/// A request to register.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Registration {
    pub user_id: Option<UserId>,
    pub device_id: Option<DeviceId>,
    pub name: Option<Name>,
    pub username: Option<Username>,
    pub email: Option<Email>,
    pub phone: Option<Phone>,
    pub password: NewPassword,
    pub avail_coins: Option<ClaimedCoins>,
    pub is_prime: Option<Flag>,
    pub is_prime_member: Option<Flag>,
    pub organization_name: Option<Name>,
    pub join_code: Option<JoinCode>,
    pub role: Option<Role>,
    #[serde(deserialize_with = "fields::or_default")]
    pub session: Keeping,
}

impl Request for Registration {}

impl Registration {
    /// The prime flag that the registration claims, under either of its names.
    fn prime(&self) -> Option<bool> {
        self.is_prime.or(self.is_prime_member).map(|Flag(prime)| prime)
    }
}

/// The answer to a registration.
#[derive(Debug, Serialize)]
pub struct Registered {
    /// The new user's own profile.
    pub user: OwnProfile,
    /// The user's first session.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// One sentence for each thing that was requested but not granted (`docs/contract.md`, "Warnings at
    /// registration").
    pub warnings: Vec<&'static str>,
    /// The code with which others can join the organization that this registration created, shown once.
    #[serde(rename = "joinCode", skip_serializing_if = "Option::is_none")]
    pub join_code: Option<IssuedToken>,
}

/// The row that a registration inserts; for its columns see the fields of [`Registration`].
struct NewUser {
    user_id: UserId,
    name: String,
    password_hash: String,
    coins: i64,
    prime: bool,
    /// The organization that the registration names, if that existed already.
    known_organization: Option<u64>,
    registration: Registration,
}

/// Registers a user in the organization that they name, or in `public`, and signs them in, for a client at
/// `address`. A new name creates an organization with the user as its admin. Either both are stored or
/// neither.
///
/// # Errors
/// [`Error::RateLimited`] after `REGISTER_LIMIT`, [`Error::OrganizationClosed`] without the organization's
/// join code, [`Error::RoleNotAllowed`] for a role above `user` in an organization that exists,
/// [`Error::UserExists`] when an identifier is taken.
pub async fn register(app: &App, address: &str, registration: Registration) -> Result<Registered> {
    rate_limit::count(&app.db, &app.config.limits, Limited::Registration(address)).await?;
    let mut warnings = Vec::new();
    let known_organization = match &registration.organization_name {
        Some(name) => organizations::named(&app.db, name).await?,
        None => Some(Known::PUBLIC),
    };
    // Checked again inside the transaction. Checking here saves the cost of a hash, which a mere guess must
    // not cause.
    if let Some(known) = &known_organization {
        known.admits(app.config.signup_grants, registration.join_code.as_ref())?;
        if !matches!(registration.role, None | Some(Role::User)) {
            return Err(Error::RoleNotAllowed);
        }
    }
    let known_organization = known_organization.map(|known| known.id);
    let claimed_coins = registration.avail_coins.map(|ClaimedCoins(coins)| coins);
    let (coins, prime) = match app.config.signup_grants {
        SignupGrants::Open => {
            (claimed_coins.unwrap_or(app.config.starting_coins), registration.prime().unwrap_or(false))
        }
        SignupGrants::Closed => {
            if claimed_coins.is_some_and(|coins| coins != app.config.starting_coins) {
                warnings.push("availCoins was not given: the operator grants coins.");
            }
            if registration.prime() == Some(true) {
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
    let new = NewUser { user_id, name, password_hash, coins, prime, known_organization, registration };
    let (user, tokens, join_code) = app.db.transaction((app, &new), insert).await?;
    let is_founder = join_code.is_some();
    if is_founder && matches!(new.registration.role, Some(Role::Moderator | Role::User)) {
        warnings.push("role was not given: who makes an organization is its admin.");
    }
    if new.registration.join_code.is_some() {
        if is_founder {
            warnings
                .push("joinCode was not used: organizationName names no organization that was there before.");
        } else if user.organization.id == organizations::PUBLIC {
            warnings.push("joinCode was not used: `public` is open to everybody, and no other organizationName was given.");
        }
    }
    Ok(Registered { user, tokens, warnings, join_code })
}

async fn insert(
    transaction: &mut Transaction,
    (app, new): (&App, &NewUser),
) -> Result<(OwnProfile, Tokens, Option<IssuedToken>)> {
    let registration = &new.registration;
    let Entered { organization_id, role, join_code } = organizations::enter(
        transaction,
        app.config.signup_grants,
        (registration.organization_name.as_ref(), new.known_organization),
        (registration.join_code.as_ref(), registration.role),
    )
    .await?;
    let inserted = transaction
        .exec_drop(
            "INSERT INTO users (user_id, organization_id, username, username_key, email, email_key, phone, name,
                                keyed_name, device_id, password_hash, role, prime, created_at)
             VALUES (:user_id, :organization_id, :username, :username_key, :email, :email_key, :phone, :name,
                     :name, :device_id, :password_hash, :role, :prime, :now)",
            params! {
                "user_id" => &new.user_id,
                organization_id,
                role,
                "username" => registration.username.as_ref(),
                "username_key" => registration.username.as_ref().map(|name| key(name.as_str())),
                "email" => registration.email.as_ref(),
                "email_key" => registration.email.as_ref().map(|email| key(email.as_str())),
                "phone" => registration.phone.as_ref(),
                "name" => &new.name,
                "device_id" => registration.device_id.as_ref(),
                "password_hash" => &new.password_hash,
                "prime" => new.prime,
                "now" => time::now(),
            },
        )
        .await;
    inserted.map_err(users::taken)?;
    names::insert(transaction, organization_id, &new.user_id, &new.name).await?;
    if new.coins > 0 {
        coins::change(transaction, &new.user_id, new.coins, coins::Reason::Signup).await?;
    }
    let place = (organization_id, role);
    let tokens =
        sessions::open(transaction, app, &new.user_id, place, registration.device_id.as_ref()).await?;
    let user = profiles::own(transaction, &new.user_id, organization_id).await?;
    Ok((user, tokens, join_code))
}

/// Returns 16 random letters and digits. There are 10^24 such texts.
fn generated_id() -> UserId {
    use rand::RngExt;
    use rand::distr::Alphanumeric;
    UserId::stored(rand::rng().sample_iter(Alphanumeric).take(16).map(char::from).collect())
}
