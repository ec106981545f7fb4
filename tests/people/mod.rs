//! Users, their sessions, profiles, coins and friends: docs/contract.md, "1. People, organizations, coins",
//! "Profiles", "Login", "Sessions and tokens", "Friends" and "The client's address".

mod access_tokens;
mod addresses;
mod administration;
mod changing_oneself;
mod coins;
mod cookies;
mod friends;
mod guessing;
mod listing;
mod logging_out;
mod login;
mod operator;
mod overtaking;
mod presence;
mod profiles;
mod refreshing;
mod registration;
mod sessions;
mod spellings;
