//! Messages: sending, changing, reading and catching up. Every change of a room takes its next number
//! here.

pub(crate) mod batch;
pub mod chats;
pub mod draft;
pub mod history;
pub mod message;
pub(crate) mod posts;
pub mod react;
pub mod read;
pub mod revise;
pub mod send;
mod send_queue;
pub mod sync;
pub mod system;
pub mod typing;
