//! Gates: at most so many at once for each key, such as a user or a room. The others wait in order, without a database
//! connection, so that one key cannot take all of them (`docs/contract.md`, "Fair shares").

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Error, Result};

/// How long one waits at most: API Gateway waits for 29 seconds, and the act itself takes time too.
const PATIENCE: Duration = Duration::from_secs(25);
/// How many may wait for one key.
pub(crate) const WAITING: usize = 1024;

/// A gate for each key. Clones share their places.
#[derive(Clone, Debug)]
pub struct Gate<K: Eq + Hash + Clone> {
    /// How many may be inside at once.
    most: usize,
    /// How many may wait.
    waiting: usize,
    keys: Arc<Mutex<HashMap<K, Places>>>,
}

/// The places of one key. They exist while somebody is inside or waits.
#[derive(Debug)]
struct Places {
    places: Arc<Semaphore>,
    /// How many are inside or wait.
    visitors: usize,
}

/// A place inside, until it is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place<K: Eq + Hash + Clone> {
    // Fields are dropped in this order: the permit belongs to the places that the visit keeps.
    _permit: OwnedSemaphorePermit,
    _visit: Visit<K>,
}

/// Counts as a visitor, until it is dropped.
#[derive(Debug)]
struct Visit<K: Eq + Hash + Clone> {
    gate: Gate<K>,
    key: K,
}

impl<K: Eq + Hash + Clone> Gate<K> {
    /// Makes a gate that lets in at most `most` at once for each key, while at most `waiting` more wait.
    pub(crate) fn new(most: usize, waiting: usize) -> Self {
        Self { most, waiting, keys: Arc::default() }
    }

    /// Takes a place for this key. Waits at most [`PATIENCE`] for one, in the order of arrival.
    ///
    /// # Errors
    /// [`Error::Overloaded`] at once when too many wait already, and after the wait.
    pub async fn enter(&self, key: K) -> Result<Place<K>> {
        let busy = Error::Overloaded { retry_after: 1 };
        let Some((places, visit)) = self.visit(key) else { return Err(busy) };
        match timeout(PATIENCE, places.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit, _visit: visit }),
            _ => Err(busy),
        }
    }

    fn visit(&self, key: K) -> Option<(Arc<Semaphore>, Visit<K>)> {
        let mut keys = self.keys();
        let new = || Places { places: Arc::new(Semaphore::new(self.most)), visitors: 0 };
        let of_key = keys.entry(key.clone()).or_insert_with(new);
        if of_key.visitors >= self.most + self.waiting {
            return None;
        }
        of_key.visitors += 1;
        Some((of_key.places.clone(), Visit { gate: self.clone(), key }))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<K, Places>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Visit<K> {
    fn drop(&mut self) {
        let mut keys = self.gate.keys();
        if let Some(of_key) = keys.get_mut(&self.key) {
            of_key.visitors -= 1;
            if of_key.visitors == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn so_many_are_let_in_at_once_for_each_key_and_the_others_in_order() {
        let gate = Gate::new(2, 2);
        let (first, _second) = (gate.enter("a").await.unwrap(), gate.enter("a").await.unwrap());
        let mut third = Box::pin(gate.enter("a"));
        let mut fourth = Box::pin(gate.enter("a"));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        // Two wait, so another one is refused at once. Another key is not concerned.
        assert!(matches!(gate.enter("a").await, Err(Error::Overloaded { retry_after: 1 })));
        let _other = gate.enter("b").await.unwrap();
        drop(first);
        assert!(fourth.as_mut().now_or_never().is_none(), "the third one comes first");
        let third = third.await.unwrap();
        drop(third);
        drop(fourth.await.unwrap());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_queue_and_a_gate_forgets_keys_without_visitors() {
        let gate = Gate::new(1, 1);
        let inside = gate.enter("a").await.unwrap();
        let mut waiting = Box::pin(gate.enter("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        let mut waiting = Box::pin(gate.enter("a"));
        assert!(waiting.as_mut().now_or_never().is_none(), "there is room to wait again");
        drop(inside);
        drop(waiting.await.unwrap());
        assert!(gate.keys().is_empty());
    }
}
