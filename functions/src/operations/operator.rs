use serde_json::Value;
use shared::fields::Fields;
use shared::{App, Error, Result, operator};

/// Invoked by name by the operator: makes an admin, or gives coins or the prime flag.
pub async fn operator(app: &App, event: Value) -> Result<Value> {
    let command = Fields::parse(event)?;
    serde_json::to_value(operator::run(&app.db, &command).await?).map_err(Error::internal)
}
