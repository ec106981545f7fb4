use serde_json::Value;
use shared::connections::ConnectionId;
use shared::events::Outcome;
use shared::fields::{Fields, Missing, Read};
use shared::messages::Draft;
use shared::rooms::Kind;
use shared::{App, Result};

struct GroupDraft(Draft);

impl Read for GroupDraft {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Draft::read_for(fields, "groupId", Some(Kind::Group)).map(Self)
    }
}

/// `groupMessage`: as `sendMessage`, to a group alone.
pub async fn group_message(app: &App, connection_id: &ConnectionId, data: Value) -> Result<Outcome> {
    let GroupDraft(draft) = Fields::parse(data)?;
    super::send_message::send(app, connection_id, &draft).await
}
