//! What the operator and the schedule run.

use serde_json::{Value, json};
use shared::base::fields::Fields;
use shared::base::migrations;
use shared::people::operator as operating;
use shared::{App, Error, Result};

use crate::custom_resource;
use crate::http::{self, Request, Response};

/// `GET /health`: whether the service and its database answer.
pub async fn health(app: &App, _request: Request) -> Result<Response> {
    app.db.ping().await?;
    http::ok(&json!({ "status": "ok", "database": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// A deployment calls this as a custom resource, before its code takes traffic: it brings the database's schema up to
/// date. The operator can invoke it by name.
pub async fn migrate(app: &App, event: Value) -> Result<Value> {
    let Some(request) = custom_resource::ResourceRequest::of(&event) else {
        let applied = migrations::migrate(&app.config.database).await?;
        return Ok(json!({ "applied": applied }));
    };
    // Deleting the stack leaves the database as it is.
    let outcome = match request.request_type.as_str() {
        "Delete" => Ok(Vec::new()),
        _ => migrations::migrate(&app.config.database).await,
    };
    let told = match &outcome {
        Ok(applied) => Ok(format!("applied: {applied:?}")),
        Err(error) => Err(format!("{error} The log of the function has the cause.")),
    };
    request.answer(told).await.map_err(Error::internal)?;
    Ok(json!({ "applied": outcome? }))
}

/// The operator invokes this by name: it appoints an admin, or grants coins or the prime flag.
pub async fn operator(app: &App, event: Value) -> Result<Value> {
    let command = Fields::parse(event)?;
    serde_json::to_value(operating::run(&app.db, &command).await?).map_err(Error::internal)
}

/// A schedule invokes this: it erases what has expired.
pub async fn sweep(app: &App, _event: Value) -> Result<Value> {
    let swept = shared::sweep::sweep(app).await?;
    tracing::info!(?swept, "swept");
    serde_json::to_value(swept).map_err(Error::internal)
}
