//! A file for each event that a client sends.

mod create_group;
mod group_message;
mod join_group;
mod join_room;
mod leave_room;
mod ping;
mod send_message;
mod sync;

pub use create_group::create_group;
pub use group_message::group_message;
pub use join_group::join_group;
pub use join_room::join_room;
pub use leave_room::leave_room;
pub use ping::ping;
pub use send_message::send_message;
pub use sync::sync;
