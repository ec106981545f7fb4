//! The WebSocket: docs/contract.md, "4. WebSocket".

mod chatting;
mod closing;
mod connecting;
mod credentials;
mod ending;
pub mod fanning_out;
mod frames;
mod overtaking;
mod packets;
mod presence;
mod socket_io;
mod syncing;
mod tickets;
