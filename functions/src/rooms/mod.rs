//! `/api/chatrooms`, `/api/joinroom` and `/api/rooms`: rooms and who is in them.

mod create_chatroom;
mod delete_room;
mod join_room;
mod leave_room;
mod list_members;
mod remove_member;
mod update_member;

pub use create_chatroom::create_chatroom;
pub use delete_room::delete_room;
pub use join_room::join_room;
pub use leave_room::leave_room;
pub use list_members::list_members;
pub use remove_member::remove_member;
pub use update_member::update_member;

use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;
use shared::users::UserId;

/// The path of everything under `/api/rooms/{roomId}`.
pub(crate) struct RoomPath {
    pub(crate) room_id: RoomId,
}

impl Read for RoomPath {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { room_id: fields.required("roomId")? })
    }
}

/// The path of everything under `/api/rooms/{roomId}/members/{userId}`.
struct MemberPath {
    room_id: RoomId,
    user_id: UserId,
}

impl Read for MemberPath {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = fields.required("roomId");
        let user_id = fields.required("userId");
        Ok(Self { room_id: room_id?, user_id: user_id? })
    }
}
