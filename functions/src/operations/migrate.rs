use serde_json::{Value, json};
use shared::{App, Result, migrations};

/// Invoked by name after a deployment: brings the database's schema up to date.
pub async fn migrate(app: &App, _event: Value) -> Result<Value> {
    let applied = migrations::migrate(&app.config.database).await?;
    Ok(json!({ "applied": applied }))
}
