//! Passwords: bcrypt, run off the async threads, on at most one password for each processor at a time.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use tokio::sync::Semaphore;

use crate::base::fields;
use crate::base::text;
use crate::{Error, Result};

/// bcrypt reads only the first 72 bytes: a longer password is refused, not cut (`docs/contract.md`,
/// "Passwords").
const LONGEST: usize = 72;
const SHORTEST: usize = 8;

/// The most bytes of a password as it is typed. Normalized, it can have fewer: a letter of full width has
/// three bytes and becomes one.
const LONGEST_TYPED: usize = 1024;

/// A new password, normalized: 8 to 72 bytes. Keyboards differ in how they compose characters, so what is
/// hashed is the password's form in NFKC (NIST SP 800-63B, "Password verifiers").
#[derive(Clone, Debug)]
pub struct NewPassword(SecretString);

/// A password to check: whatever somebody may have typed.
#[derive(Clone, Debug)]
pub struct Password {
    /// The password as a [`NewPassword`] has it.
    normalized: SecretString,
    /// What was typed, where that differs. Older hashes are of this.
    typed: Option<SecretString>,
}

impl Password {
    fn new(typed: String) -> Self {
        // A longer one is wrong in every spelling.
        if typed.len() > LONGEST_TYPED {
            return Self { normalized: typed.into(), typed: None };
        }
        let normalized = text::nfkc(&typed).into_owned();
        let differs = normalized != typed;
        Self { normalized: normalized.into(), typed: differs.then(|| typed.into()) }
    }

    /// The spellings that a hash may be of.
    fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.normalized).chain(&self.typed).map(ExposeSecret::expose_secret)
    }

    /// The spelling to hash. Few characters can become many, and then only what was typed has fitted.
    fn to_hash(&self) -> &str {
        match &self.typed {
            Some(typed) if self.normalized.expose_secret().len() > LONGEST => typed.expose_secret(),
            _ => self.normalized.expose_secret(),
        }
    }
}

impl<'de> Deserialize<'de> for NewPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let typed = text::line(fields::string(deserializer)?, 0..=LONGEST_TYPED).unwrap_or_default();
        let password = text::nfkc(&typed);
        if (SHORTEST..=LONGEST).contains(&password.len()) {
            Ok(Self(password.into_owned().into()))
        } else {
            Err(de::Error::custom("must be 8 to 72 bytes of UTF-8 without control characters"))
        }
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fields::string(deserializer).map(Self::new)
    }
}

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    cost: u32,
    /// One permit for each processor: running more at once would only slow all of them down.
    permits: Arc<Semaphore>,
}

impl Passwords {
    /// Creates a hasher with this bcrypt cost.
    pub fn new(cost: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cost, permits: Arc::new(Semaphore::new(processors)) }
    }

    /// Returns the bcrypt hash of a password, 60 characters long.
    ///
    /// # Errors
    /// [`Error::Internal`] when bcrypt fails.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn hash(&self, password: NewPassword) -> Result<String> {
        let cost = self.cost;
        self.compute(move || bcrypt::hash(password.0.expose_secret(), cost).map_err(Error::internal)).await
    }

    /// Whether this is the password that was hashed. Without a hash the answer is no, and it takes the same
    /// time as a wrong password does: the duration of a login does not reveal whether the user exists.
    ///
    /// # Errors
    /// [`Error::Internal`] when the stored hash is not a valid one.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool> {
        let cost = self.cost;
        let is_of = move |spelling: &str| match &hash {
            // A longer password was never set, and bcrypt would read only its first 72 bytes.
            Some(hash) if spelling.len() <= LONGEST => {
                bcrypt::verify(spelling, hash).map_err(Error::internal)
            }
            _ => bcrypt::hash_with_salt("", cost, [0; 16]).map(|_| false).map_err(Error::internal),
        };
        self.compute(move || {
            for spelling in password.spellings() {
                if is_of(spelling)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// Hashes a correct password again when its hash has another cost than the one in use now, or is of
    /// another spelling than a new one would be. Returns `None` when neither is so. Otherwise the duration of
    /// a login would go on revealing which passwords were set under the other cost, and another keyboard
    /// could go on spelling the password wrong.
    ///
    /// # Errors
    /// [`Error::Internal`] when the stored hash is not a valid one.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn renew(&self, password: Password, hash: &str) -> Result<Option<String>> {
        let (cost, hash) = (self.cost, hash.to_owned());
        let is_of_cost = hash.parse::<bcrypt::HashParts>().map_err(Error::internal)?.get_cost() == cost;
        if is_of_cost && password.typed.is_none() {
            return Ok(None);
        }
        self.compute(move || {
            if is_of_cost && bcrypt::verify(password.to_hash(), &hash).map_err(Error::internal)? {
                return Ok(None);
            }
            bcrypt::hash(password.to_hash(), cost).map(Some).map_err(Error::internal)
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(Error::internal)?
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new(password: &str) -> Result<NewPassword, serde_json::Error> {
        serde_json::from_value(json!(password))
    }

    #[test]
    fn a_password_has_8_to_72_bytes() {
        assert!(new("1234567").is_err());
        assert!(new("12345678").is_ok());
        assert!(new(&"x".repeat(72)).is_ok());
        assert!(new(&"x".repeat(73)).is_err());
        assert!(new(&"é".repeat(36)).is_ok());
        assert!(new(&"é".repeat(37)).is_err());
        assert!(new("1234\u{0}5678").is_err());
    }

    #[tokio::test]
    async fn only_the_whole_password_verifies() {
        let passwords = Passwords::new(4);
        let long = "x".repeat(72);
        let hash = passwords.hash(new(&long).unwrap()).await.unwrap();
        for (given, right) in [(long.clone(), true), (long[1..].to_owned(), false), (long + "y", false)] {
            assert_eq!(passwords.verify(Password::new(given), Some(hash.clone())).await.unwrap(), right);
        }
        assert!(!passwords.verify(Password::new(String::new()), None).await.unwrap());
    }

    #[tokio::test]
    async fn all_spellings_of_a_password_verify() {
        let passwords = Passwords::new(4);
        let hash = passwords.hash(new("pass\u{e9}word").unwrap()).await.unwrap();
        for (given, right) in [("passe\u{301}word", true), ("ｐａｓｓéｗｏｒｄ", true), ("passeword", false)]
        {
            let given = Password::new(given.to_owned());
            assert_eq!(passwords.verify(given.clone(), Some(hash.clone())).await.unwrap(), right);
            if right {
                assert_eq!(passwords.renew(given, &hash).await.unwrap(), None);
            }
        }
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "as the service once did")]
    async fn a_hash_of_what_was_typed_verifies_and_is_renewed_where_that_fits() {
        let passwords = Passwords::new(4);
        for (typed, is_renewed) in [("passe\u{301}word", true), (&"\u{fdfa}".repeat(24), false)] {
            let (old, password) = (bcrypt::hash(typed, 4).unwrap(), Password::new(typed.to_owned()));
            assert!(passwords.verify(password.clone(), Some(old.clone())).await.unwrap(), "{typed}");
            let renewed = passwords.renew(password.clone(), &old).await.unwrap();
            assert_eq!(renewed.is_some(), is_renewed, "{typed}");
            if let Some(renewed) = renewed {
                let normalized = Password::new(text::nfkc(typed).into_owned());
                assert!(passwords.verify(normalized, Some(renewed)).await.unwrap());
            }
        }
    }
}
