//! `/chats` and `/api/sync`: rooms of every kind, and their history.

mod get_chat;
mod sync;

pub use get_chat::get_chat;
pub use sync::sync;
