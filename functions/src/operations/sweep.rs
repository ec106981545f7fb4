use serde_json::Value;
use shared::{App, Error, Result};

/// Invoked by a schedule: erases what has run out.
pub async fn sweep(app: &App, _event: Value) -> Result<Value> {
    let swept = shared::sweep::sweep(app).await?;
    tracing::info!(?swept, "swept");
    serde_json::to_value(swept).map_err(Error::internal)
}
