//! Users: who they are, and their profiles (contract section 1). How they register and sign in is in
//! [`crate::auth`].

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Transaction, Value, params};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::db::{Db, stored_enum};
use crate::error::Thing;
use crate::friends::FRIENDS;
use crate::text::{line, text_type};
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

impl Role {
    /// Whether it may make channels, and announce those of others.
    pub fn makes_channels(self) -> bool {
        self != Self::User
    }
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

/// A user's own profile, inside the transaction that signs them in.
///
/// # Errors
/// [`Error::NotFound`] when the organization has no such user.
pub(crate) async fn own_profile(
    transaction: &mut Transaction<'static>,
    user_id: &UserId,
    organization_id: u64,
) -> Result<OwnProfile> {
    let row: Option<ProfileRow> = transaction.exec_first(PROFILE, (user_id, organization_id)).await?;
    row.map(ProfileRow::own).ok_or(Error::NotFound(Thing::User))
}

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
    found.map(drop).ok_or(Error::RoleRequired("the organization's admins"))
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
    let mut params: Vec<Value> = user_ids.iter().map(Value::from).collect();
    params.push(organization_id.into());
    let sql = format!("SELECT COUNT(*) FROM users WHERE user_id IN ({places}) AND organization_id = ?");
    let found: Option<u64> = db.first(&sql, params).await?;
    if found == Some(user_ids.len() as u64) { Ok(()) } else { Err(Error::NotFound(Thing::User)) }
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

/// The profiles of a user's friends, by userId.
///
/// # Errors
/// The database's.
pub async fn friends(db: &Db, user: &User) -> Result<Vec<Profile>> {
    let rows: Vec<(String, Option<String>, String, Role, bool, bool)> = db
        .rows(
            &format!(
                "SELECT u.user_id, u.username, u.name, u.role, u.prime,
                        EXISTS (SELECT 1 FROM connections c
                                WHERE c.user_id = u.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online
                 FROM ({FRIENDS}) f JOIN users u ON u.user_id = f.friend_id ORDER BY u.user_id"
            ),
            params! { "user_id" => &user.user_id },
        )
        .await?;
    let profile = |(user_id, username, name, role, prime, online)| Profile {
        user_id,
        username,
        name,
        role,
        prime,
        online,
    };
    Ok(rows.into_iter().map(profile).collect())
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
