//! `/api/chatrooms`, `/api/joinroom` and `/api/rooms`: rooms and who is in them.

mod create_chatroom;
mod join_room;
mod leave_room;
mod list_members;

pub use create_chatroom::create_chatroom;
pub use join_room::join_room;
pub use leave_room::leave_room;
pub use list_members::list_members;

use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;

/// The path of everything under `/api/rooms/{roomId}`.
pub(crate) struct RoomPath {
    pub(crate) room_id: RoomId,
}

impl Read for RoomPath {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { room_id: fields.required("roomId")? })
    }
}
