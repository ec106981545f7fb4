//! Coterie's domain: its types, its rules and its SQL. Nothing here knows HTTP or Lambda.
//!
//! The modules below are listed in order: each one uses only those above it, and a test checks this
//! (`tests/structure.rs`). What REST and WebSocket have in common is one function here that both call.
//! `docs/contract.md` says what clients may rely on; a comment names the heading that a rule comes from.
//! (Migrations name its sections by number.)

pub mod error;

pub mod config;

pub mod base;

pub mod app;

pub mod sockets;

pub mod people;

pub mod schema;

pub mod rooms;

pub mod messages;

pub mod membership;

pub mod uploads;

pub mod events;

pub mod sweep;

pub mod verify;

pub use app::App;
pub use error::{Error, Result};
