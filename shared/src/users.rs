//! Users: who they are, and their profiles (contract section 1). How they register and sign in is in
//! [`crate::auth`].

use std::collections::BTreeSet;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Params, Transaction, params};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::app::App;
use crate::auth::login::Identifier;
use crate::auth::password::{NewPassword, Password};
use crate::auth::session::{self, Which};
use crate::connections::ConnectionId;
use crate::db::{Db, duplicate_key, stored_enum};
use crate::error::Thing;
use crate::fields::{Fields, Missing, Read};
use crate::friends::FRIENDS;
use crate::page::{More, Page, Paged};
use crate::rate_limit::{self, Limited};
use crate::text::{key, line, name, text_type};
use crate::{Error, Result};

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

/// Users whom a request names: each once, in the order in which they came. At most 1000 can be given.
#[derive(Debug, Default)]
pub struct UserIds(pub Vec<UserId>);

impl UserIds {
    const MOST: usize = 1000;
}

impl<'de> Deserialize<'de> for UserIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |what: String| Err(de::Error::custom(what));
        let all = match Value::deserialize(deserializer)? {
            Value::Array(all) if all.len() <= Self::MOST => all,
            _ => return wrong(format!("must be a list of at most {} userIds", Self::MOST)),
        };
        let (mut user_ids, mut seen) = (Vec::with_capacity(all.len()), BTreeSet::new());
        for (place, user_id) in all.into_iter().enumerate() {
            match UserId::deserialize(user_id) {
                Ok(user_id) if seen.insert(user_id.clone()) => user_ids.push(user_id),
                Ok(_) => {}
                Err(error) => return wrong(format!("must be userIds, and [{place}] {error}")),
            }
        }
        Ok(Self(user_ids))
    }
}

text_type!(
    /// A username: 1 to 64 printable characters, inner spaces allowed, no `@`, not all digits, so
    /// that it is taken neither for an e-mail address nor for an id.
    Username, |text| {
        let text = name(text, 1..=64)?;
        let key = key(&text);
        match () {
            () if text.trim() != text => Err("must not begin or end with a space".to_owned()),
            () if key.contains('@') => Err("must have no @".to_owned()),
            () if key.chars().all(|c| c.is_ascii_digit()) => Err("must not be all digits".to_owned()),
            () => Ok(text),
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
                // Its key would not fit its column.
                if key(&email).chars().count() > 700 {
                    return Err("must be written in plainer characters".to_owned());
                }
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
    Name, |text| name(text, 1..=100)
);

text_type!(
    /// What a client calls its device: at most 128 characters.
    DeviceId, id, |id| line(id, 0..=128)
);

/// A role in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May everything in the organization.
    Admin,
    /// May make channels.
    Moderator,
    /// What everybody starts as.
    User,
}

impl Role {
    /// Those that may make channels, and announce those of others.
    pub(crate) const CHANNEL_MAKERS: [Self; 2] = [Self::Admin, Self::Moderator];

    /// Whether it may make channels, and announce those of others.
    pub fn makes_channels(self) -> bool {
        Self::CHANNEL_MAKERS.contains(&self)
    }
}

stored_enum!(Role { Admin => "admin", Moderator => "moderator", User => "user" });

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)?.as_str() {
            Some("admin") => Ok(Self::Admin),
            Some("moderator") => Ok(Self::Moderator),
            Some("user") => Ok(Self::User),
            _ => Err(de::Error::custom("must be admin, moderator or user")),
        }
    }
}

/// What there is between the asker and somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Friendship {
    /// Nothing, or a request that was rejected.
    None,
    /// The asker's request waits for its answer.
    RequestSent,
    /// A request waits for the asker's answer.
    RequestReceived,
    /// They are friends.
    Friends,
}

stored_enum!(Friendship {
    None => "none", RequestSent => "requestSent", RequestReceived => "requestReceived", Friends => "friends",
});

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

/// A profile as everybody of the organization sees it.
#[derive(Debug, Serialize, FromRow)]
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
    /// What there is between the user and the asker; none for oneself.
    pub friendship: Option<Friendship>,
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

/// The columns of a [`Profile`] of the user `u`, as `:asker` sees it.
pub(crate) const PROFILE_COLUMNS: &str = "u.user_id, u.username, u.name, u.role, u.prime,
    EXISTS (SELECT 1 FROM connections c
            WHERE c.user_id = u.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online,
    IF(u.user_id = :asker, NULL, COALESCE(
        (SELECT CASE f.status WHEN 'accepted' THEN 'friends'
                              WHEN 'pending' THEN IF(f.from_id = :asker, 'requestSent', 'requestReceived') END
         FROM friend_requests f
         WHERE f.lesser_id = LEAST(u.user_id, :asker) AND f.greater_id = GREATEST(u.user_id, :asker)),
        'none')) AS friendship";

/// The profile of one user of an organization, with all that [`OwnProfile`] needs.
fn one_profile(asker: &UserId, user_id: &UserId, organization_id: u64) -> (String, Params) {
    let sql = format!(
        "SELECT {PROFILE_COLUMNS}, u.email, u.phone, u.device_id, u.avail_coins,
                o.id AS organization_id, o.name AS organization_name
         FROM users u JOIN organizations o ON o.id = u.organization_id
         WHERE u.user_id = :user_id AND u.organization_id = :organization_id"
    );
    (sql, params! { asker, user_id, organization_id })
}

#[derive(FromRow)]
struct ProfileRow {
    user_id: String,
    username: Option<String>,
    name: String,
    role: Role,
    prime: bool,
    online: bool,
    friendship: Option<Friendship>,
    email: Option<String>,
    phone: Option<String>,
    device_id: Option<String>,
    avail_coins: i64,
    organization_id: u64,
    organization_name: String,
}

impl ProfileRow {
    /// As the asker may see it.
    fn seen_by(self, asker: &UserId) -> SeenProfile {
        let is_own = self.user_id == asker.as_str();
        let own = self.own();
        if is_own { SeenProfile::Own(Box::new(own)) } else { SeenProfile::Public(own.public) }
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
                friendship: self.friendship,
            },
            email: self.email,
            phone: self.phone,
            device_id: self.device_id,
            avail_coins: self.avail_coins,
            organization: Organization { id: self.organization_id, name: self.organization_name },
        }
    }
}

/// A user's own profile, inside the transaction that signs them in or changes it.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such user.
pub(crate) async fn own_profile(
    transaction: &mut Transaction<'static>,
    user_id: &UserId,
    organization_id: u64,
) -> Result<OwnProfile> {
    let (sql, params) = one_profile(user_id, user_id, organization_id);
    let row: Option<ProfileRow> = transaction.exec_first(sql, params).await?;
    row.map(ProfileRow::own).ok_or(Error::NotFound(Thing::User))
}

/// The refusal of what is for admins.
pub(crate) const ADMINS: Error = Error::RoleRequired("the organization's admins");

/// Holds, until the transaction ends, that a user is an admin of the organization, whatever they were
/// when the request began.
///
/// # Errors
/// [`Error::RoleRequired`] when they are not.
pub(crate) async fn still_admin(transaction: &mut Transaction<'static>, user: &User) -> Result<()> {
    let found: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM users WHERE user_id = ? AND role = 'admin' LOCK IN SHARE MODE",
            (&user.user_id,),
        )
        .await?;
    found.map(drop).ok_or(ADMINS)
}

/// Checks that all of these are users of the organization.
///
/// # Errors
/// [`Error::NotFound`] for one that is unknown or of another organization.
pub(crate) async fn all_of(db: &Db, organization_id: u64, user_ids: &[UserId]) -> Result<()> {
    if user_ids.is_empty() {
        return Ok(());
    }
    let places = vec!["?"; user_ids.len()].join(", ");
    let mut params: Vec<mysql_async::Value> = user_ids.iter().map(Into::into).collect();
    params.push(organization_id.into());
    let sql = format!("SELECT COUNT(*) FROM users WHERE user_id IN ({places}) AND organization_id = ?");
    let found: Option<u64> = db.first(&sql, params).await?;
    if found == Some(user_ids.len() as u64) { Ok(()) } else { Err(Error::NotFound(Thing::User)) }
}

/// What the asker sees of a user of the organization, inside the transaction that changed the user.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such user.
pub(crate) async fn seen_profile(
    transaction: &mut Transaction<'static>,
    asker: &User,
    user_id: &UserId,
) -> Result<SeenProfile> {
    let (sql, params) = one_profile(&asker.user_id, user_id, asker.organization_id);
    let row: Option<ProfileRow> = transaction.exec_first(sql, params).await?;
    row.map(|row| row.seen_by(&asker.user_id)).ok_or(Error::NotFound(Thing::User))
}

/// The profile of a user of the asker's organization.
///
/// # Errors
/// [`Error::NotFound`] for an unknown user and one of another organization alike.
pub async fn profile(app: &App, asker: &User, user_id: &UserId) -> Result<SeenProfile> {
    let (sql, params) = one_profile(&asker.user_id, user_id, asker.organization_id);
    let row: Option<ProfileRow> = app.db.first(&sql, params).await?;
    row.map(|row| row.seen_by(&asker.user_id)).ok_or(Error::NotFound(Thing::User))
}

/// A request for a page of an organization's users.
#[derive(Debug)]
pub struct Search {
    /// Which page.
    pub page: Page,
    /// How their userId, username or name begins.
    pub prefix: Option<Prefix>,
}

text_type!(
    /// The beginning of a userId, username or name; empty for anybody.
    Prefix, |prefix| line(prefix, 0..=100)
);

impl Read for Search {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let page = Page::read(fields);
        let prefix = fields.optional("q");
        Ok(Self { page: page?, prefix: prefix? })
    }
}

impl Prefix {
    /// The pattern for `LIKE … ESCAPE '!'` of what begins so, `%` and `_` being themselves.
    fn pattern(&self) -> String {
        pattern(&self.0)
    }

    /// The same for the key of what begins so.
    fn key_pattern(&self) -> String {
        let mut key = key(&self.0);
        // Between two words, and no part of a key that stands alone.
        if !key.is_empty() && self.0.ends_with(char::is_whitespace) {
            key.push(' ');
        }
        pattern(&key)
    }
}

fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// A page of the users of the asker's organization, by userId. A username and a name begin with the
/// prefix without regard to case, a userId byte for byte.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, asker: &User, search: &Search) -> Result<Paged<Profile>> {
    let pattern = search.prefix.as_ref().map(Prefix::pattern);
    let matching = match &pattern {
        Some(_) => {
            "AND (u.user_id LIKE :pattern ESCAPE '!' OR u.username_key LIKE :key_pattern ESCAPE '!'
                  OR LOWER(u.name) LIKE LOWER(:pattern COLLATE utf8mb4_bin) ESCAPE '!')"
        }
        None => "",
    };
    let from = format!("FROM users u WHERE u.organization_id = :organization_id {matching}");
    let params = params! {
        "asker" => &asker.user_id,
        "organization_id" => asker.organization_id,
        "key_pattern" => search.prefix.as_ref().map(Prefix::key_pattern),
        pattern,
    };
    // Who is online and whose friend is looked up for the users of one page.
    let columns = format!(", {PROFILE_COLUMNS}");
    let more = More { columns: &columns, joins: "LEFT JOIN users u ON u.user_id = listed.listed_id" };
    let (id, order) = ("u.user_id AS listed_id", &["listed_id"]);
    Paged::read_with::<Profile>(db, id, &from, order, more, params, search.page).await
}

/// A request to change the own profile; what is absent stays.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct ProfileChange {
    pub name: Option<Name>,
    pub device_id: Option<DeviceId>,
    pub username: Option<Username>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
    pub password: Option<PasswordChange>,
}

/// A new password, from somebody who knows the present one.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct PasswordChange {
    pub password: NewPassword,
    pub current_password: Password,
}

impl ProfileChange {
    /// Whether it asks for something that nobody else may have.
    fn names_an_identifier(&self) -> bool {
        self.username.is_some() || self.email.is_some() || self.phone.is_some()
    }
}

impl Read for ProfileChange {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let name = fields.optional("name");
        let device_id = fields.optional("deviceId");
        let username = fields.optional("username");
        let phone = fields.optional("phone");
        let email = fields.optional("email");
        let password = fields.optional("password");
        let current_password = fields.optional("currentPassword");
        if !matches!(password, Ok(None)) && matches!(current_password, Ok(None)) {
            fields.wrong("currentPassword", "is required with `password`");
        }
        let password = password?.zip(current_password?);
        Ok(Self {
            name: name?,
            device_id: device_id?,
            username: username?,
            phone: phone?,
            email: email?,
            password: password
                .map(|(password, current_password)| PasswordChange { password, current_password }),
        })
    }
}

/// The hashes of a change of password that was allowed.
#[derive(Debug)]
struct Rehashed {
    /// The present one, as it was when the present password was found right.
    verified: String,
    new: String,
}

/// Changes the user's own profile, for a client at `address`. A new password ends every other session
/// of the user, and closes their sockets.
///
/// # Errors
/// [`Error::UserExists`] when an identifier is taken; [`Error::InvalidCredentials`] for a wrong present
/// password; [`Error::RateLimited`] after `PASSWORD_LIMIT` of these, counted together with logins, and after
/// `REGISTER_LIMIT` changes of an identifier, counted together with registrations.
pub async fn update_own(app: &App, user: &User, address: &str, change: &ProfileChange) -> Result<OwnProfile> {
    if change.names_an_identifier() {
        // Whether somebody has it already is what a registration would tell, too.
        rate_limit::count(&app.db, &app.config.limits, Limited::Registration(address)).await?;
    }
    let rehashed = match &change.password {
        Some(password) => Some(rehash(app, user, address, password.clone()).await?),
        None => None,
    };
    let (profile, sockets) = app.db.transaction((user, change, rehashed.as_ref()), apply).await?;
    app.end(sockets).await;
    Ok(profile)
}

/// Checks the present password and hashes the new one.
async fn rehash(app: &App, user: &User, address: &str, change: PasswordChange) -> Result<Rehashed> {
    let counted = Identifier::UserId(user.user_id.to_string()).counted();
    let limited = Limited::Login(&counted, address);
    rate_limit::count(&app.db, &app.config.limits, limited).await?;
    let verified: Option<String> =
        app.db.first("SELECT password_hash FROM users WHERE user_id = ?", (&user.user_id,)).await?;
    let verified = verified.ok_or(Error::Unauthenticated)?;
    if !app.passwords.verify(change.current_password, Some(verified.clone())).await? {
        return Err(Error::InvalidCredentials);
    }
    rate_limit::give_back(&app.db, &app.config.limits, limited).await?;
    Ok(Rehashed { verified, new: app.passwords.hash(change.password).await? })
}

async fn apply(
    transaction: &mut Transaction<'static>,
    (user, change, rehashed): (&User, &ProfileChange, Option<&Rehashed>),
) -> Result<(OwnProfile, Vec<ConnectionId>)> {
    let mut sockets = Vec::new();
    if let Some(rehashed) = rehashed {
        let hash: Option<String> = transaction
            .exec_first("SELECT password_hash FROM users WHERE user_id = ? FOR UPDATE", (&user.user_id,))
            .await?;
        // Another change may have come first while this one's passwords were being hashed.
        if hash.as_ref() != Some(&rehashed.verified) {
            return Err(Error::InvalidCredentials);
        }
        session::still_live(transaction, &user.session_id).await?;
        sockets = session::revoke(transaction, Which::OthersThan(user)).await?;
    }
    let updated = transaction
        .exec_drop(
            "UPDATE users SET name = COALESCE(:name, name), device_id = COALESCE(:device_id, device_id),
                    username = COALESCE(:username, username), username_key = COALESCE(:username_key, username_key),
                    email = COALESCE(:email, email), email_key = COALESCE(:email_key, email_key),
                    phone = COALESCE(:phone, phone), password_hash = COALESCE(:password_hash, password_hash)
             WHERE user_id = :user_id",
            params! {
                "name" => change.name.as_ref(),
                "device_id" => change.device_id.as_ref(),
                "username" => change.username.as_ref(),
                "username_key" => change.username.as_ref().map(|name| key(name.as_str())),
                "email" => change.email.as_ref(),
                "email_key" => change.email.as_ref().map(|email| key(email.as_str())),
                "phone" => change.phone.as_ref(),
                "password_hash" => rehashed.map(|rehashed| &rehashed.new),
                "user_id" => &user.user_id,
            },
        )
        .await;
    updated.map_err(taken)?;
    Ok((own_profile(transaction, &user.user_id, user.organization_id).await?, sockets))
}

/// The error of a statement that writes a user's identifiers: which of them somebody else has.
pub(crate) fn taken(error: mysql_async::Error) -> Error {
    match duplicate_key(&error) {
        Some("users_username") => Error::UserExists { field: "username" },
        Some("users_email") => Error::UserExists { field: "email" },
        Some("users_phone") => Error::UserExists { field: "phone" },
        Some(_) => Error::UserExists { field: "userId" },
        None => error.into(),
    }
}

/// The profiles of a user's friends, by userId.
///
/// # Errors
/// The database's.
pub async fn friends(db: &Db, user: &User) -> Result<Vec<Profile>> {
    db.rows(
        &format!(
            "SELECT {PROFILE_COLUMNS} FROM ({FRIENDS}) f JOIN users u ON u.user_id = f.friend_id
             ORDER BY u.user_id"
        ),
        params! { "user_id" => &user.user_id, "asker" => &user.user_id },
    )
    .await
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
