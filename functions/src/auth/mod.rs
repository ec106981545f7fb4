//! `/api/auth`: registration and login.

mod login;
mod register;

pub use login::login;
pub use register::register;
