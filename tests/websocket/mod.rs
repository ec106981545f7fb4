//! The WebSocket: docs/contract.md, "4. WebSocket".

mod chatting;
mod connecting;
mod credentials;
mod ending;
pub mod fanning_out;
mod frames;
mod overtaking;
mod presence;
mod syncing;
mod tickets;
