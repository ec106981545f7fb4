use serde_json::json;
use shared::connections::{self, ConnectionId};
use shared::events::Outcome;
use shared::{App, Result, time};

/// `ping`: keeps an idle socket open, which API Gateway would close after ten minutes.
pub async fn ping(app: &App, connection_id: &ConnectionId) -> Result<Outcome> {
    connections::user(&app.db, connection_id).await?;
    Ok(Outcome::Pong(json!({ "time": time::rfc3339(time::now()) })))
}
