//! What an operator asks of the service.

mod health;
mod migrate;

pub use health::health;
pub use migrate::migrate;
