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

/// A new password: 8 to 72 bytes.
#[derive(Clone, Debug)]
pub struct NewPassword(SecretString);

/// A password to check: whatever somebody may have typed.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl<'de> Deserialize<'de> for NewPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let password = text::line(fields::string(deserializer)?, 0..=LONGEST).unwrap_or_default();
        if (SHORTEST..=LONGEST).contains(&password.len()) {
            Ok(Self(password.into()))
        } else {
            Err(de::Error::custom("must be 8 to 72 bytes of UTF-8 without control characters"))
        }
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fields::string(deserializer).map(|password| Self(password.into()))
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
    /// time: the duration of a login does not reveal whether the user exists.
    ///
    /// # Errors
    /// [`Error::Internal`] when the stored hash is not a valid one.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool> {
        let cost = self.cost;
        self.compute(move || match hash {
            // A longer password was never set, and bcrypt would read only its first 72 bytes.
            Some(hash) if password.0.expose_secret().len() <= LONGEST => {
                bcrypt::verify(password.0.expose_secret(), &hash).map_err(Error::internal)
            }
            _ => bcrypt::hash_with_salt("", cost, [0; 16]).map(|_| false).map_err(Error::internal),
        })
        .await
    }

    /// Hashes a correct password again when its hash has another cost than the one in use now. Returns
    /// `None` when the cost is the same. Otherwise the duration of a login would go on revealing which
    /// passwords were set under the other cost.
    ///
    /// # Errors
    /// [`Error::Internal`] when the stored hash is not a valid one.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn renew(&self, password: Password, hash: &str) -> Result<Option<String>> {
        let cost = self.cost;
        match hash.parse::<bcrypt::HashParts>().map_err(Error::internal)?.get_cost() == cost {
            true => Ok(None),
            false => {
                let renewed =
                    move || bcrypt::hash(password.0.expose_secret(), cost).map(Some).map_err(Error::internal);
                self.compute(renewed).await
            }
        }
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
            assert_eq!(passwords.verify(Password(given.into()), Some(hash.clone())).await.unwrap(), right);
        }
        assert!(!passwords.verify(Password(String::new().into()), None).await.unwrap());
    }
}
