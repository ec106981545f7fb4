use serde_json::json;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `GET /health`: whether the service and its database answer.
pub async fn health(app: &App, _request: Request) -> Result<Response> {
    app.db.ping().await?;
    http::ok(&json!({ "status": "ok", "database": "ok", "version": env!("CARGO_PKG_VERSION") }))
}
