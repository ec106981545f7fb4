//! Coterie's domain: one file for each thing of it, with its types, its SQL and its rules.
//!
//! Nothing here knows HTTP or Lambda. A rule that two doors share (REST and WebSocket) is one
//! function here that both call. "Contract section 2" in a comment is the part of the service's
//! specification that a rule comes from; `docs/openapi.yaml` and `docs/asyncapi.yaml` tell it to clients.

pub mod administration;
pub mod app;
pub mod auth;
pub mod channels;
pub mod chats;
pub mod coins;
pub mod config;
pub mod connections;
pub mod db;
pub mod direct;
mod erasure;
pub mod error;
pub mod events;
pub mod fields;
pub mod file_types;
pub mod files;
pub mod friends;
pub mod groups;
pub mod history;
pub mod invitations;
pub mod members;
pub mod messages;
pub mod migrations;
pub mod operator;
pub mod organizations;
pub mod page;
pub mod presence;
pub mod profiles;
pub mod push;
pub mod rate_limit;
pub mod reactions;
pub mod reading;
pub mod revisions;
pub mod rooms;
pub mod sweep;
pub mod sync;
pub mod text;
pub mod time;
pub mod typing;
pub mod uploads;
pub mod users;

pub use app::App;
pub use error::{Error, Result};
