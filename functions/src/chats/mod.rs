//! `/chats` and `/api/sync`: rooms of every kind, and their history.

mod get_chat;
mod list_chats;
mod send_direct;
mod sync;

pub use get_chat::get_chat;
pub use list_chats::list_chats;
pub use send_direct::send_direct;
pub use sync::sync;
