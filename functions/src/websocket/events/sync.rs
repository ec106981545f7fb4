use serde_json::Value;
use shared::events::Outcome;
use shared::fields::Fields;
use shared::users::User;
use shared::{App, Error, Result, sync};

/// `sync`: as `POST /api/sync`, in a smaller answer.
pub async fn sync(app: &App, asker: &User, data: Value) -> Result<Outcome> {
    let cursors = Fields::parse(data)?;
    let changes = sync::changes(&app.db, asker, &cursors, sync::SOCKET_BYTES).await?;
    Ok(Outcome::Sync(serde_json::to_value(changes).map_err(Error::internal)?))
}
