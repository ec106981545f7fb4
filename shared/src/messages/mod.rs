//! Messages: sending, changing, reading and catching up. Every change of a room takes its next number
//! here.

pub(crate) mod batch;
pub mod bootstrap;
mod chat_profiles;
pub mod chats;
pub mod draft;
pub mod history;
pub(crate) mod locked_rooms;
pub mod mentions;
pub mod message;
pub(crate) mod posts;
pub mod react;
pub mod read;
pub mod replies;
pub mod revise;
pub mod send;
pub mod send_queue;
pub(crate) mod senders;
pub(crate) mod slow_mode;
pub mod sync;
pub mod system;
pub mod typing;
pub(crate) mod unread;
pub mod user_changes;
pub mod user_state;
