use serde_json::{Value, json};
use shared::events::Outcome;
use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;
use shared::users::User;
use shared::{App, Result, groups};

struct Place {
    group_id: RoomId,
}

impl Read for Place {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { group_id: fields.required("groupId")? })
    }
}

/// `joinGroup`: the group, for its members; nobody becomes one by it.
pub async fn join_group(app: &App, user: &User, data: Value) -> Result<Outcome> {
    let Place { group_id } = Fields::parse(data)?;
    let group = groups::of_member(&app.db, user, group_id).await?;
    Ok(Outcome::Ack(json!({ "roomId": group.id, "group": group })))
}
