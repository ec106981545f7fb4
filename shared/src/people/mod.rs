//! People: users, their organizations, coins, friends and sessions, and how they sign in. What concerns a
//! user within a room belongs in `membership`.

pub mod administration;
pub mod auth;
pub mod coins;
pub mod friends;
pub(crate) mod names;
pub mod operator;
pub mod organizations;
pub mod presence;
pub mod profiles;
pub mod refresh_token;
pub mod sessions;
pub mod settings;
pub mod users;
