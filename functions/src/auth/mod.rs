//! `/api/auth`: registration, sessions and tickets.

mod create_ticket;
mod list_sessions;
mod login;
mod logout;
mod refresh_token;
mod register;
mod revoke_session;

pub use create_ticket::create_ticket;
pub use list_sessions::list_sessions;
pub use login::login;
pub use logout::logout;
pub use refresh_token::refresh_token;
pub use register::register;
pub use revoke_session::revoke_session;
