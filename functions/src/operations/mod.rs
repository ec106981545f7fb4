//! What an operator asks of the service.

mod health;
mod migrate;
mod sweep;

pub use health::health;
pub use migrate::migrate;
pub use sweep::sweep;
