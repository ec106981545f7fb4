//! Profiles: what others see of a user, and what users change in their own (`docs/contract.md`,
//! "Profiles").

use chrono::NaiveDateTime;
use mysql_async::params;
use mysql_async::prelude::{FromRow, Queryable};
use serde::{Deserialize, Deserializer, Serialize, de};
use strum::{EnumString, IntoStaticStr};

use crate::app::App;
use crate::base::attempts::attempt;
use crate::base::db::{Db, text_column};
use crate::base::fields::{self, Change, Fields, Missing, Read, Request};
use crate::base::ids::UserId;
use crate::base::page::{Page, Paged, Place, Slice, Sliced};
use crate::base::password::{NewPassword, Password};
use crate::base::rate_limit::{self, Limited};
use crate::base::socket::Socket;
use crate::base::source::Source;
use crate::base::text::{key, line, text_type};
use crate::base::time;
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::error::Thing;
use crate::people::friends::{are_friends, friends};
use crate::people::names;
use crate::people::presence::sees_presence;
use crate::people::sessions::{self, Which};
use crate::people::settings::Settings;
use crate::people::users::{DeviceId, Email, Identifier, Name, Phone, Username, taken};
use crate::{Error, Result};

/// The friendship between the asker and another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Friendship {
    /// No friendship, or a request that was rejected.
    None,
    /// The asker's request is waiting for an answer.
    RequestSent,
    /// A request is waiting for the asker to answer it.
    RequestReceived,
    /// They are friends.
    Friends,
}

text_column!(Friendship);

/// Who may add a user to groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum AddableBy {
    /// Everybody of the organization.
    Anyone,
    /// Only the user's friends.
    Friends,
}

text_column!(AddableBy);

impl<'de> Deserialize<'de> for AddableBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match fields::string(deserializer)?.as_str() {
            "anyone" => Ok(Self::Anyone),
            "friends" => Ok(Self::Friends),
            _ => Err(de::Error::custom("must be `anyone` or `friends`")),
        }
    }
}

/// A profile as everybody in the organization sees it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Profile {
    pub user_id: UserId,
    pub username: Option<String>,
    pub name: String,
    pub role: Role,
    pub prime: bool,
    /// Whether the user has an open socket.
    pub online: bool,
    /// The friendship between the user and the asker; `None` in the asker's own profile.
    pub friendship: Option<Friendship>,
    /// The path of the avatar, if there is one.
    pub avatar_url: Option<String>,
    /// When the user's last socket closed, for the user, their friends and the other one of a direct chat.
    #[serde(serialize_with = "time::serialize_optional")]
    pub last_seen_at: Option<NaiveDateTime>,
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
    pub addable_by: AddableBy,
    pub avail_coins: i64,
    pub organization: Organization,
    /// The user's settings, which are not part of the profile but are read with it.
    #[serde(skip)]
    pub(crate) settings: Settings,
}

/// The organization, as a profile shows it.
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
    /// The asker's own profile.
    Own(Box<OwnProfile>),
    /// Somebody else's profile.
    Public(Profile),
}

/// The columns of a [`Profile`] of the user `u`, as `:asker` sees it.
macro_rules! profile_columns {
    () => {
        concat!(
        "u.user_id, u.username, u.name, u.role, u.prime, ",
        sees_presence!(),
        " AND EXISTS (SELECT 1 FROM connections c FORCE INDEX (connections_user)
                 WHERE c.user_id = u.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online,
         IF(u.last_seen_at IS NOT NULL AND ",
        sees_presence!(),
        " AND (u.user_id = :asker OR ",
        are_friends!("u.user_id", ":asker"),
        " OR EXISTS (SELECT 1 FROM direct_chats d FORCE INDEX (PRIMARY)
                     WHERE d.lesser_id = LEAST(u.user_id, :asker) AND d.greater_id = GREATEST(u.user_id, :asker))),
            u.last_seen_at, NULL) AS last_seen_at,
         IF(u.user_id = :asker, NULL, COALESCE(
             (SELECT CASE f.status WHEN 'accepted' THEN 'friends'
                                   WHEN 'pending' THEN IF(f.from_id = :asker, 'requestSent', 'requestReceived') END
              FROM friend_requests f FORCE INDEX (friend_requests_pair)
              WHERE f.lesser_id = LEAST(u.user_id, :asker) AND f.greater_id = GREATEST(u.user_id, :asker)),
             'none')) AS friendship,
         CONCAT('/avatars/', u.avatar_key) AS avatar_url"
        )
    };
}
pub(crate) use profile_columns;

/// Selects the profile of one user of an organization, with everything that [`OwnProfile`] needs.
const ONE_PROFILE: &str = concat!(
    "SELECT ",
    profile_columns!(),
    ", u.email, u.phone, u.device_id, u.addable_by, u.avail_coins, u.shows_presence,
     o.id AS organization_id, o.name AS organization_name
     FROM users u JOIN organizations o ON o.id = u.organization_id
     WHERE u.user_id = :user_id AND u.organization_id = :organization_id"
);

#[derive(FromRow)]
struct ProfileRow {
    user_id: UserId,
    username: Option<String>,
    name: String,
    role: Role,
    prime: bool,
    online: bool,
    friendship: Option<Friendship>,
    avatar_url: Option<String>,
    last_seen_at: Option<NaiveDateTime>,
    email: Option<String>,
    phone: Option<String>,
    device_id: Option<String>,
    addable_by: AddableBy,
    avail_coins: i64,
    organization_id: u64,
    organization_name: String,
    shows_presence: bool,
}

impl ProfileRow {
    /// Returns the profile as the asker may see it.
    fn seen_by(self, asker: &UserId) -> SeenProfile {
        let is_own = self.user_id == *asker;
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
                avatar_url: self.avatar_url,
                last_seen_at: self.last_seen_at,
            },
            email: self.email,
            phone: self.phone,
            device_id: self.device_id,
            addable_by: self.addable_by,
            avail_coins: self.avail_coins,
            organization: Organization { id: self.organization_id, name: self.organization_name },
            settings: Settings { show_presence: self.shows_presence },
        }
    }
}

/// Returns a user's own profile, inside the transaction that signs them in or changes it.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such user.
pub(crate) async fn own(
    transaction: &mut Transaction,
    user_id: &UserId,
    organization_id: u64,
) -> Result<OwnProfile> {
    let params = params! { "asker" => user_id, user_id, organization_id };
    let row: Option<ProfileRow> = transaction.exec_first(ONE_PROFILE, params).await?;
    row.map(ProfileRow::own).ok_or(Error::NotFound(Thing::User))
}

/// Returns what the asker sees of a user of the organization, inside the transaction that changed the user.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such user.
pub(crate) async fn seen(
    transaction: &mut Transaction,
    asker: &User,
    user_id: &UserId,
) -> Result<SeenProfile> {
    let params = params! { "asker" => &asker.user_id, user_id, "organization_id" => asker.organization_id };
    let row: Option<ProfileRow> = transaction.exec_first(ONE_PROFILE, params).await?;
    row.map(|row| row.seen_by(&asker.user_id)).ok_or(Error::NotFound(Thing::User))
}

/// Returns the profile of a user in the asker's organization.
///
/// # Errors
/// [`Error::NotFound`] for an unknown user and for one of another organization alike.
pub async fn read(db: &Db, asker: &User, user_id: &UserId) -> Result<SeenProfile> {
    let params = params! { "asker" => &asker.user_id, user_id, "organization_id" => asker.organization_id };
    let row: Option<ProfileRow> = db.first(ONE_PROFILE, params).await?;
    row.map(|row| row.seen_by(&asker.user_id)).ok_or(Error::NotFound(Thing::User))
}

/// A request for a page of an organization's users.
#[derive(Debug)]
pub struct Search {
    /// Which page to return.
    pub page: Page,
    /// How the userId, the username or a word of the name of the users begins.
    pub prefix: Option<Prefix>,
}

text_type!(
    /// The beginning of a userId, of a username or of a word of a name; an empty one matches everybody.
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
    /// Returns the two `LIKE … ESCAPE '!'` patterns of this beginning, in which `%` and `_` stand for
    /// themselves: for userIds and for keys. Returns `None` when everybody matches.
    fn patterns(&self) -> Option<(String, String)> {
        let key = key(&self.0);
        (!key.is_empty()).then(|| (pattern(self.0.trim()), pattern(&key)))
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

/// Selects a page of an organization's users. Who is online and who is a friend is looked up for the users
/// of this page only.
const ALL: &str = concat!(
    "SELECT counted.total, listed.*, ",
    profile_columns!(),
    " FROM (SELECT COUNT(*) AS total FROM users u FORCE INDEX (users_of_organization)
           WHERE u.organization_id = :organization_id) counted
     LEFT JOIN (SELECT u.user_id AS listed_id, 1 AS is_row
                FROM users u FORCE INDEX (users_of_organization) WHERE u.organization_id = :organization_id
                ORDER BY listed_id LIMIT :page_size OFFSET :page_offset) listed ON TRUE
     LEFT JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = listed.listed_id
     ORDER BY listed.listed_id"
);

/// Selects a page of the users that match. Each of the three parts is one range of an index and ends after
/// `:most` rows, so that a search reads no more, however many users there are. The first row also comes with
/// the other pages, for its total.
const MATCHING: &str = concat!(
    "SELECT found.total, IF(found.place > :page_offset, 1, NULL) AS is_row, ",
    profile_columns!(),
    " FROM (SELECT user_id, COUNT(*) OVER () AS total, ROW_NUMBER() OVER (ORDER BY user_id) AS place
            FROM ((SELECT user_id FROM users FORCE INDEX (users_of_organization)
                   WHERE organization_id = :organization_id AND user_id LIKE :pattern ESCAPE '!'
                   ORDER BY user_id LIMIT :most)
                  UNION
                  (SELECT user_id FROM users FORCE INDEX (users_username_prefix)
                   WHERE organization_id = :organization_id AND username_key LIKE :key_pattern ESCAPE '!'
                   ORDER BY username_key LIMIT :most)
                  UNION
                  (SELECT user_id FROM name_keys FORCE INDEX (PRIMARY)
                   WHERE organization_id = :organization_id AND name_key LIKE :key_pattern ESCAPE '!'
                   ORDER BY name_key, user_id LIMIT :most)) matching) found
     STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = found.user_id
     WHERE found.place = 1 OR (found.place > :page_offset AND found.place <= :page_end)
     ORDER BY found.place"
);

/// How many userIds, usernames and names, of each, one search finds.
const MOST_FOUND: u32 = 500;

/// Returns a page of the users in the asker's organization, ordered by userId. The prefix matches usernames
/// and words of names as names compare, and userIds byte for byte.
///
/// # Errors
/// The database's errors.
pub async fn list(db: &Db, asker: &User, search: &Search) -> Result<Paged<Profile>> {
    let params = params! { "asker" => &asker.user_id, "organization_id" => asker.organization_id };
    let Some((pattern, key_pattern)) = search.prefix.as_ref().and_then(Prefix::patterns) else {
        return Paged::read(db, ALL, params, search.page).await;
    };
    let params = params! {
        "asker" => &asker.user_id,
        "organization_id" => asker.organization_id,
        pattern,
        key_pattern,
        "most" => MOST_FOUND,
        "page_end" => search.page.number.saturating_mul(search.page.size),
    };
    Paged::read(db, MATCHING, params, search.page).await
}

/// A request to change the user's own profile. Absent fields keep their values, and `null` takes an identifier back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct ProfileUpdate {
    pub name: Option<Name>,
    pub device_id: Option<DeviceId>,
    pub username: Change<Username>,
    pub phone: Change<Phone>,
    pub email: Change<Email>,
    pub addable_by: Option<AddableBy>,
    pub password: Option<NewPassword>,
    /// The current password, which is required to set a new one.
    pub current_password: Option<Password>,
}

impl ProfileUpdate {
    /// Whether the request changes something that others see.
    pub fn is_shown(&self) -> bool {
        self.name.is_some() || self.username != Change::Keep
    }

    /// Whether the request asks for an identifier, which nobody else may have.
    fn names_an_identifier(&self) -> bool {
        self.username.set().is_some() || self.email.set().is_some() || self.phone.set().is_some()
    }
}

impl Request for ProfileUpdate {
    fn check(fields: &mut Fields) {
        if fields.has("password") && !fields.has("currentPassword") {
            fields.wrong("currentPassword", "is required with `password`");
        }
    }
}

/// The hashes for a change of password that was allowed.
#[derive(Debug)]
struct Rehashed {
    /// The current hash, as it was when the current password was verified.
    verified: String,
    new: String,
}

/// Changes the user's own profile, for a client at `address`. A new password ends every other session of
/// the user. Returns the sockets of these sessions, for the caller to close.
///
/// # Errors
/// [`Error::UserExists`] when an identifier is taken; [`Error::InvalidCredentials`] for a wrong current
/// password; [`Error::RateLimited`] after `PASSWORD_LIMIT` of these, counted together with logins, and
/// after `REGISTER_LIMIT` changes of an identifier, counted together with registrations, and after too many changes that
/// others are told of.
pub async fn update(
    app: &App,
    user: &User,
    address: &str,
    change: &ProfileUpdate,
) -> Result<(OwnProfile, Vec<Socket>)> {
    if change.names_an_identifier() {
        // Like a registration, this reveals whether somebody already has an identifier.
        rate_limit::count(&app.db, &app.config.limits, Limited::Registration(address)).await?;
    }
    if change.is_shown() {
        rate_limit::count(&app.db, &app.config.limits, Limited::Shown(&user.user_id)).await?;
    }
    let rehashed = match (&change.password, &change.current_password) {
        (Some(new), Some(current)) => Some(rehash(app, user, address, current.clone(), new.clone()).await?),
        _ => None,
    };
    app.db.transaction((user, change, rehashed.as_ref()), apply).await
}

/// Checks the current password and hashes the new one.
async fn rehash(
    app: &App,
    user: &User,
    address: &str,
    current: Password,
    new: NewPassword,
) -> Result<Rehashed> {
    let counted = Identifier::UserId(user.user_id.to_string()).counted();
    let limited = [Limited::Address(address), Limited::Login(&counted, address)];
    let verified = attempt(&app.db, &app.config.limits, &limited, async |turn| {
        let hash: Option<String> =
            app.db.first("SELECT password_hash FROM users WHERE user_id = ?", (&user.user_id,)).await?;
        let hash = hash.ok_or(Error::Unauthenticated)?;
        Ok(app.passwords.verify(current, Some(hash.clone()), turn).await?.then_some(hash))
    });
    let verified = verified.await?.ok_or(Error::InvalidCredentials)?;
    Ok(Rehashed { verified, new: app.passwords.hash(new).await? })
}

async fn apply(
    transaction: &mut Transaction,
    (user, change, rehashed): (&User, &ProfileUpdate, Option<&Rehashed>),
) -> Result<(OwnProfile, Vec<Socket>)> {
    let mut sockets = Vec::new();
    if let Some(rehashed) = rehashed {
        let hash: Option<String> = transaction
            .exec_first("SELECT password_hash FROM users WHERE user_id = ? FOR UPDATE", (&user.user_id,))
            .await?;
        // Another change may have been committed while the passwords of this one were being hashed.
        if hash.as_ref() != Some(&rehashed.verified) {
            return Err(Error::InvalidCredentials);
        }
        sessions::still_live(transaction, &user.session_id).await?;
        sockets = sessions::revoke(transaction, Which::OthersThan(user)).await?;
    }
    let updated = transaction
        .exec_drop(
            "UPDATE users SET name = COALESCE(:name, name), keyed_name = COALESCE(:name, keyed_name),
                    device_id = COALESCE(:device_id, device_id),
                    username = IF(:no_username, NULL, COALESCE(:username, username)),
                    username_key = IF(:no_username, NULL, COALESCE(:username_key, username_key)),
                    email = IF(:no_email, NULL, COALESCE(:email, email)),
                    email_key = IF(:no_email, NULL, COALESCE(:email_key, email_key)),
                    phone = IF(:no_phone, NULL, COALESCE(:phone, phone)), addable_by = COALESCE(:addable_by, addable_by),
                    password_hash = COALESCE(:password_hash, password_hash)
             WHERE user_id = :user_id",
            params! {
                "name" => change.name.as_ref(),
                "device_id" => change.device_id.as_ref(),
                "username" => change.username.set(),
                "username_key" => change.username.set().map(|name| key(name.as_str())),
                "no_username" => change.username.clears(),
                "email" => change.email.set(),
                "email_key" => change.email.set().map(|email| key(email.as_str())),
                "no_email" => change.email.clears(),
                "phone" => change.phone.set(),
                "no_phone" => change.phone.clears(),
                "addable_by" => change.addable_by,
                "password_hash" => rehashed.map(|rehashed| &rehashed.new),
                "user_id" => &user.user_id,
            },
        )
        .await;
    updated.map_err(taken)?;
    if let Some(name) = &change.name {
        names::replace(transaction, user.organization_id, &user.user_id, name.as_str()).await?;
    }
    sessions::still_signed_in(transaction, user, None).await?;
    Ok((own(transaction, &user.user_id, user.organization_id).await?, sockets))
}

/// Returns the profiles of a user's friends, ordered by userId.
///
/// # Errors
/// The database's errors.
pub async fn friends(source: &mut Source<'_>, user: &User, slice: &Slice<1000>) -> Result<Sliced<Profile>> {
    let rows = source
        .rows(
            concat!(
                "SELECT ",
                profile_columns!(),
                " FROM (",
                friends!(),
                ") f STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = f.friend_id
                 WHERE f.friend_id > :after ORDER BY f.friend_id LIMIT :rows"
            ),
            params! {
                "user_id" => &user.user_id,
                "asker" => &user.user_id,
                "after" => slice.after.as_ref().map_or("", |place| &place.text),
                "rows" => slice.rows(),
            },
        )
        .await?;
    Ok(slice.of(rows, |friend: &Profile| Place::new(0, &friend.user_id)))
}
