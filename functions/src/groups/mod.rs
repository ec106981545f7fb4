//! `/groups`: rooms that their owner and moderators fill.

mod add_user;
mod create_group;
mod get_group_messages;

pub use add_user::add_user;
pub use create_group::create_group;
pub use get_group_messages::get_group_messages;

use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;

/// The path of everything under `/groups/{groupId}`.
struct GroupPath {
    group_id: RoomId,
}

impl Read for GroupPath {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { group_id: fields.required("groupId")? })
    }
}
