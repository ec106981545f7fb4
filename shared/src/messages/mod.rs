//! Messages: sending, changing, reading and catching up. All changes of a room take its next number
//! here.

pub mod chats;
pub mod history;
pub mod message;
pub mod react;
pub mod read;
pub mod revise;
pub mod send;
pub mod sync;
pub mod system;
pub mod typing;
