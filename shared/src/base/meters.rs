//! What is measured while the service runs (`docs/operating.md`, "What to watch").
//!
//! Each meter is made once. Where nobody has set up a recorder, as in Lambda, measuring does nothing.

use std::sync::LazyLock;

use metrics::{Counter, Histogram, counter, histogram};

/// The meters of what is done here.
pub(crate) struct Meters {
    /// How long a statement by itself takes: one round trip to the database.
    pub(crate) statement: Histogram,
    /// How long a transaction takes, with all its round trips.
    pub(crate) transaction: Histogram,
    /// How many messages are stored together.
    pub(crate) batch: Histogram,
    /// How many sockets a notice has.
    pub(crate) audience: Histogram,
    /// Sockets that took all their frames at once.
    pub(crate) posted_at_once: Counter,
    /// Sockets that took them after some time.
    pub(crate) posted_later: Counter,
    /// Sockets that were gone.
    pub(crate) posts_gone: Counter,
    /// Sockets that did not read, or were not reached.
    pub(crate) posts_given_up: Counter,
    /// Sockets of other server processes.
    pub(crate) posted_elsewhere: Counter,
}

static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let posts = |outcome: &'static str| counter!("coterie_posts_total", "outcome" => outcome);
    Meters {
        statement: histogram!("coterie_database_seconds", "kind" => "statement"),
        transaction: histogram!("coterie_database_seconds", "kind" => "transaction"),
        batch: histogram!("coterie_batch_messages"),
        audience: histogram!("coterie_notice_sockets"),
        posted_at_once: posts("at once"),
        posted_later: posts("later"),
        posts_gone: posts("gone"),
        posts_given_up: posts("given up"),
        posted_elsewhere: posts("elsewhere"),
    }
});

/// Returns the meters, which must not be used before the recorder is set up.
pub(crate) fn meters() -> &'static Meters {
    &METERS
}
