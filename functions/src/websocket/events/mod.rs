//! A file for each event that a client sends.

mod delete_message;
mod edit_message;
mod join_room;
mod leave_room;
mod ping;
mod send_file;
mod send_message;
mod sync;

pub use delete_message::delete_message;
pub use edit_message::edit_message;
pub use join_room::join_room;
pub use leave_room::leave_room;
pub use ping::ping;
pub use send_file::send_file;
pub use send_message::send_message;
pub use sync::sync;
