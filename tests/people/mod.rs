//! Contract section 1, and the sessions of section 3.

mod access_tokens;
mod friends;
mod guessing;
mod logging_out;
mod login;
mod profiles;
mod refreshing;
mod registration;
