//! Contract section 1, and the sessions of section 3.

mod access_tokens;
mod login;
mod profiles;
mod registration;
