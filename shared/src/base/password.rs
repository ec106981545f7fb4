//! Passwords: bcrypt, run off the async threads, on at most one password for each processor at a time. The queue is
//! bounded (`docs/contract.md`, "Passwords").

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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

/// How much work may wait: what is done in this time.
const LONGEST_QUEUE: Duration = Duration::from_secs(5);
/// This many passwords may wait, however long they take: sixteen people may enter a room at once.
const SHORTEST_QUEUE: u64 = 64;

/// How a password gets its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Before the ones that are likely to be guesses.
    Usual,
    /// Likely to be a guess, since others failed before. Guesses get half of the queue and of the processors at most.
    Guess,
}

/// Hashes and checks passwords. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Passwords {
    cost: u32,
    queue: Arc<Queue>,
}

#[derive(Debug)]
struct Queue {
    processors: usize,
    /// One permit for each processor: running more at once would only slow all of them down.
    permits: Arc<Semaphore>,
    /// What a guess needs besides.
    guesses: Semaphore,
    /// How many wait or run.
    length: AtomicUsize,
    /// How long the last one took, in microseconds.
    duration: AtomicU64,
}

impl Queue {
    /// A queue for hashes of this bcrypt cost.
    fn new(cost: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processors,
            permits: Arc::new(Semaphore::new(processors)),
            guesses: Semaphore::new((processors / 2).max(1)),
            length: AtomicUsize::new(0),
            // A guess, until the first one is measured: 250 ms at cost 12.
            duration: AtomicU64::new(61 << cost),
        }
    }

    /// Takes a place in the queue.
    fn enter(&self, turn: Turn) -> Result<Place<'_>> {
        let duration = self.duration.load(Ordering::Relaxed).max(1);
        let processors = self.processors as u64;
        let places = (LONGEST_QUEUE.as_micros() as u64 * processors / duration).max(SHORTEST_QUEUE);
        let places = if turn == Turn::Guess { places / 2 } else { places };
        let place = Place(self);
        let before = self.length.fetch_add(1, Ordering::Relaxed) as u64;
        if before >= places {
            let waiting = Duration::from_micros(before * duration / processors);
            return Err(Error::Overloaded { retry_after: waiting.as_secs() + 1 });
        }
        Ok(place)
    }
}

/// A place in the queue, until it is dropped.
struct Place<'a>(&'a Queue);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// Creates a hasher with this bcrypt cost.
    pub fn new(cost: u32) -> Self {
        Self { cost, queue: Arc::new(Queue::new(cost)) }
    }

    /// Returns the bcrypt hash of a password, 60 characters long.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait; [`Error::Internal`] when bcrypt fails.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn hash(&self, password: NewPassword) -> Result<String> {
        let cost = self.cost;
        let hash = move || bcrypt::hash(password.0.expose_secret(), cost).map_err(Error::internal);
        self.compute(Turn::Usual, hash).await
    }

    /// Whether this is the password that was hashed. Without a hash the answer is no, and it takes the same
    /// time: the duration of a login does not reveal whether the user exists.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait; [`Error::Internal`] when the stored hash is not a valid one.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn verify(&self, password: Password, hash: Option<String>, turn: Turn) -> Result<bool> {
        let cost = self.cost;
        let verify = move || match hash {
            // A longer password was never set, and bcrypt would read only its first 72 bytes.
            Some(hash) if password.0.expose_secret().len() <= LONGEST => {
                bcrypt::verify(password.0.expose_secret(), &hash).map_err(Error::internal)
            }
            _ => bcrypt::hash_with_salt("", cost, [0; 16]).map(|_| false).map_err(Error::internal),
        };
        self.compute(turn, verify).await
    }

    /// Hashes a correct password again when its hash has another cost than the one in use now. Returns
    /// `None` when the cost is the same. Otherwise the duration of a login would go on revealing which
    /// passwords were set under the other cost.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait; [`Error::Internal`] when the stored hash is not a valid one.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub async fn renew(&self, password: Password, hash: &str) -> Result<Option<String>> {
        let cost = self.cost;
        match hash.parse::<bcrypt::HashParts>().map_err(Error::internal)?.get_cost() == cost {
            true => Ok(None),
            false => {
                let renewed =
                    move || bcrypt::hash(password.0.expose_secret(), cost).map(Some).map_err(Error::internal);
                self.compute(Turn::Usual, renewed).await
            }
        }
    }

    async fn compute<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = &self.queue;
        let _place = queue.enter(turn)?;
        let _guess = match turn {
            Turn::Usual => None,
            Turn::Guess => Some(queue.guesses.acquire().await.map_err(Error::internal)?),
        };
        let permit = queue.permits.clone().acquire_owned().await.map_err(Error::internal)?;
        let (done, duration) = tokio::task::spawn_blocking(move || {
            // Held here, for the work goes on when nobody waits for it any more.
            let _permit = permit;
            let begun = Instant::now();
            (work(), begun.elapsed())
        })
        .await
        .map_err(Error::internal)?;
        queue.duration.store(duration.as_micros() as u64, Ordering::Relaxed);
        done
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
            assert_eq!(
                passwords.verify(Password(given.into()), Some(hash.clone()), Turn::Usual).await.unwrap(),
                right
            );
        }
        assert!(!passwords.verify(Password(String::new().into()), None, Turn::Usual).await.unwrap());
    }

    #[test]
    fn guesses_get_half_of_the_queue_and_more_of_anything_is_refused_at_once() {
        let queue = Queue::new(18);
        let guesses: Vec<_> = (0..32).map(|_| queue.enter(Turn::Guess).ok().unwrap()).collect();
        assert!(matches!(queue.enter(Turn::Guess), Err(Error::Overloaded { .. })));
        // At 250 ms each, five seconds of two processors are fewer than 64.
        queue.duration.store(250_000 * queue.processors as u64, Ordering::Relaxed);
        let others: Vec<_> = (0..32).map(|_| queue.enter(Turn::Usual).ok().unwrap()).collect();
        let refused = queue.enter(Turn::Usual).err();
        assert!(matches!(refused, Some(Error::Overloaded { retry_after: 17 })), "{refused:?}");
        drop((guesses, others));
        assert!(queue.enter(Turn::Guess).is_ok());
    }
}
