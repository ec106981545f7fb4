//! Signing in: registration, login, and the tickets that open sockets. The sessions that result are in
//! [`crate::people::sessions`].

pub mod login;
pub mod registration;
pub mod ticket;
