//! Users: who they are (`docs/contract.md`, "Users"). What others see of them is in
//! [`crate::people::profiles`]; how they register and sign in is in [`crate::people::auth`].

use std::collections::BTreeSet;

use mysql_async::prelude::Queryable;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::base::db::{Db, duplicate_key, places};
use crate::base::ids::UserId;
use crate::base::text::{is_dash, is_unseen, key, line, name, nfkc, text_type};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::{Error, Result};

/// The users that a request names: each once, in the order given. A request can name at most 1000.
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
    /// A username: 1 to 64 printable characters, inner spaces allowed, no `@`, not all digits. So it cannot
    /// be mistaken for an e-mail address or an id. Spaces at its ends are dropped: keyboards of phones add
    /// one to a completed word.
    Username, |text| {
        let text = name(text.trim_matches(is_space).to_owned(), 1..=64)?;
        let key = key(&text);
        match () {
            () if key.contains('@') => Err("must have no @".to_owned()),
            () if key.chars().all(|c| c.is_ascii_digit()) => Err("must not be all digits".to_owned()),
            () => Ok(text),
        }
    }
);

text_type!(
    /// An e-mail address, checked as far as is possible without sending to it. What is pasted with it at its
    /// ends is dropped: spaces, and marks of direction.
    Email, |email| {
        let email = email.trim_matches(|c| is_space(c) || is_unseen(c)).to_owned();
        let email = line(email, 3..=254)?;
        let parts = email.split_once('@');
        match parts {
            Some((local, domain))
                if !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !email.contains(char::is_whitespace) =>
            {
                // Its key would not fit the column.
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
    /// A phone number in E.164: `+` and at most 15 digits. What separates its digits for the eye is removed
    /// (RFC 3966, section 5.1.1), in all forms in which phones paste it: spaces and dashes of any kind, dots,
    /// parentheses, and marks of direction.
    Phone, |phone| {
        let wrong = || Err("must be a phone number in E.164, like +919876543210".to_owned());
        if phone.chars().count() > MOST_PHONE_CHARACTERS {
            return wrong();
        }
        let is_separator = |c: char| is_space(c) || is_dash(c) || is_unseen(c) || c == '.';
        let phone: String = nfkc(&phone).chars().filter(|&c| !is_separator(c)).collect();
        // A trunk prefix is only dialled without the country's code before it.
        if phone.contains("(0)") {
            return wrong();
        }
        let phone = phone.replace(['(', ')'], "");
        let digits = phone.strip_prefix('+').unwrap_or_default();
        if (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(phone)
        } else {
            wrong()
        }
    }
);

/// The most characters of a phone number as it is written.
const MOST_PHONE_CHARACTERS: usize = 100;

fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_control()
}

text_type!(
    /// A display name: 1 to 100 characters.
    Name, |text| name(text, 1..=100)
);

text_type!(
    /// The client's own name for its device: at most 128 characters.
    DeviceId, id, |id| line(id, 0..=128)
);

/// An identifier that a user signs in with.
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

impl Identifier {
    /// Returns the text under which attempts are counted: the same for all spellings of an identifier.
    pub(crate) fn counted(&self) -> String {
        let (Self::Any(text)
        | Self::UserId(text)
        | Self::Username(text)
        | Self::Email(text)
        | Self::Phone(text)) = self;
        Phone::try_from(text.clone()).map_or_else(|_| key(text), |phone| phone.0)
    }
}

/// The error for what only admins may do.
pub(crate) const ADMINS: Error = Error::RoleRequired("the organization's admins");

/// Checks that a user is an admin of the organization, whatever they were when the request began, and keeps
/// it so until the transaction ends.
///
/// # Errors
/// [`Error::RoleRequired`] when they are not an admin.
pub(crate) async fn still_admin(transaction: &mut Transaction, user: &User) -> Result<()> {
    let found: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM users WHERE user_id = ? AND role = 'admin' LOCK IN SHARE MODE",
            (&user.user_id,),
        )
        .await?;
    found.map(drop).ok_or(ADMINS)
}

/// Checks that all of these users belong to the organization.
///
/// # Errors
/// [`Error::NotFound`] for a user who is unknown or in another organization.
pub(crate) async fn all_of(db: &Db, organization_id: u64, user_ids: &[UserId]) -> Result<()> {
    if user_ids.is_empty() {
        return Ok(());
    }
    let places = places(user_ids.len());
    let mut params: Vec<mysql_async::Value> = user_ids.iter().map(Into::into).collect();
    params.push(organization_id.into());
    let sql = format!(
        "SELECT COUNT(*) FROM users FORCE INDEX (PRIMARY) WHERE user_id IN ({places}) AND organization_id = ?"
    );
    let found: Option<u64> = db.first(&sql, params).await?;
    if found == Some(user_ids.len() as u64) { Ok(()) } else { Err(Error::NotFound(Thing::User)) }
}

/// The error of a statement that writes a user's identifiers: says which of them somebody else has.
pub(crate) fn taken(error: mysql_async::Error) -> Error {
    match duplicate_key(&error) {
        Some("users_username") => Error::UserExists { field: "username" },
        Some("users_email") => Error::UserExists { field: "email" },
        Some("users_phone") => Error::UserExists { field: "phone" },
        Some(_) => Error::UserExists { field: "userId" },
        None => error.into(),
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
        for good in ["manoj singh", "Zoë", "7of9", " manoj ", "\u{3000}7of9\u{a0}"] {
            assert!(parsed::<Username>(good), "{good}");
        }
        assert_eq!(Username::try_from(" a b ".to_owned()).unwrap().as_str(), "a b");
        for bad in ["", " ", " 12 ", "a\t", "a@b", "123", "a\nb", &"x".repeat(65)] {
            assert!(!parsed::<Username>(bad), "{bad}");
        }
    }

    #[test]
    fn phones_are_stored_without_what_separates_their_digits() {
        for good in [
            "+91 98765-43210",
            "\u{202a}+91\u{a0}98765\u{2011}43210\u{202c}",
            "+91 (987) 654.32.10",
            "＋91\u{2009}98765\u{2013}43210",
            "\u{2068}+91 98765\u{2212}43210\u{2069}",
        ] {
            assert_eq!(
                Phone::try_from(good.to_owned()).as_ref().map(Phone::as_str),
                Ok("+919876543210"),
                "{good:?}"
            );
        }
        let long = format!("+919876543210{}", " ".repeat(100));
        for bad in
            ["9876543210", "+0123", "+1", "+1234567890123456", "+12a", "", "+44 (0) 20 794", "+1\n23", &long]
        {
            assert!(!parsed::<Phone>(bad), "{bad}");
        }
    }

    #[test]
    fn all_spellings_of_an_identifier_are_counted_together() {
        for [one, other] in
            [["+4912345", "\u{202a}+49 (123)\u{2011}45"], ["Ann B", "ann  b"], ["x@ex.com ", "X@ex.com"]]
        {
            let counted = |text: &str| Identifier::Any(text.to_owned()).counted();
            assert_eq!(counted(one), counted(other), "{one}");
        }
    }

    #[test]
    fn an_address_has_something_on_each_side_of_one_at() {
        for good in ["manoj@examplue.com", "manoj@examplue.com ", "\u{202a}\u{a0}manoj@examplue.com\u{202c}"]
        {
            assert_eq!(Email::try_from(good.to_owned()).unwrap().as_str(), "manoj@examplue.com");
        }
        for bad in ["a", "@b", "a@", "a@b@c", "a b@c", "a@b\n"] {
            assert!(!parsed::<Email>(bad), "{bad}");
        }
    }
}
