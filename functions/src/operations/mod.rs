//! What an operator asks of the service.

mod health;
mod migrate;
mod operator;
mod sweep;

pub use health::health;
pub use migrate::migrate;
pub use operator::operator;
pub use sweep::sweep;
