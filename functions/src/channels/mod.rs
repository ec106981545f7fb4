//! `/api/chat`: channels, which are open to their organization.

mod create_chat;
mod delete_chat;
mod list_chat;

pub use create_chat::create_chat;
pub use delete_chat::delete_chat;
pub use list_chat::list_chat;
