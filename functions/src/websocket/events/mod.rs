//! A file for each event that a client sends.

mod create_group;
mod delete_message;
mod edit_message;
mod group_message;
mod join_group;
mod join_room;
mod leave_room;
mod new_chat_room;
mod ping;
mod react_message;
mod read_message;
mod send_file;
mod send_message;
mod sync;
mod typing;

pub use create_group::create_group;
pub use delete_message::delete_message;
pub use edit_message::edit_message;
pub use group_message::GroupMessage;
pub use join_group::join_group;
pub use join_room::join_room;
pub use leave_room::leave_room;
pub use new_chat_room::new_chat_room;
pub use ping::ping;
pub use react_message::react_message;
pub use read_message::read_message;
pub use send_file::send_file;
pub use send_message::send_message;
pub use sync::sync;
pub use typing::{stop_typing, typing};
