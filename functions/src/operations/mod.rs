//! What an operator asks of the service.

mod health;
mod migrate;
mod operator;

pub use health::health;
pub use migrate::migrate;
pub use operator::operator;
