//! Coterie's domain: its types, its rules and its SQL. Nothing here knows HTTP or Lambda.
//!
//! The modules below stand in order: each one uses only those above it. A test keeps that so
//! (`tests/structure.rs`). What REST and WebSocket have in common is one function here that both
//! call. What clients may rely on is written in `docs/contract.md`.

pub mod error;

pub mod config;

pub mod base;

pub mod app;

pub mod sockets;

pub mod people;

pub mod rooms;

pub mod messages;

pub mod membership;

pub mod uploads;

pub mod events;

pub mod sweep;

pub use app::App;
pub use error::{Error, Result};
