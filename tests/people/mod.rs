//! Contract section 1, and the sessions of section 3.

mod access_tokens;
mod administration;
mod changing_oneself;
mod coins;
mod friends;
mod guessing;
mod listing;
mod logging_out;
mod login;
mod operator;
mod overtaking;
mod profiles;
mod refreshing;
mod registration;
mod sessions;
