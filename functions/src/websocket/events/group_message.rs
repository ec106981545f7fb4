use shared::fields::{Fields, Missing, Read};
use shared::messages::Draft;
use shared::rooms::Kind;

/// `groupMessage`: as `sendMessage`, to a group alone, which it names `groupId`.
pub struct GroupMessage(pub Draft);

impl Read for GroupMessage {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Draft::read_for(fields, "groupId", Some(Kind::Group)).map(Self)
    }
}
