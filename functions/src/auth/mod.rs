//! `/api/auth`: registration, sessions and tickets.

mod create_ticket;
mod login;
mod logout;
mod refresh_token;
mod register;

pub use create_ticket::create_ticket;
pub use login::login;
pub use logout::logout;
pub use refresh_token::refresh_token;
pub use register::register;
