//! `/chats`: rooms of every kind, and their history.

mod get_chat;

pub use get_chat::get_chat;
