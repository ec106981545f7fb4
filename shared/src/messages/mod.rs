//! Messages: sending, changing, reading and catching up. Every change of a room takes its next number
//! here.

pub mod chats;
pub mod history;
pub mod message;
pub(crate) mod posts;
pub mod react;
pub mod read;
pub mod revise;
pub mod send;
pub mod sync;
pub mod system;
pub mod typing;
