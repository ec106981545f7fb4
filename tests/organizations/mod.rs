//! Organizations, how users join them, and their roles: docs/contract.md, "Organizations", "Roles in the
//! organization" and "Signup grants".

mod closed;
mod join_codes;
mod registering;
mod roles;

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

/// Registers a user in an organization, with more fields.
async fn registers(app: &TestApp, organization: &str, more: Value) -> Answer {
    let mut registration = json!({"password": "correct horse", "organizationName": organization});
    registration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post("/api/auth/register", registration).await
}

/// The organization's name and the role in the response to a registration, and whether it has a join code.
fn membership(registered: &Value) -> (&str, &str, bool) {
    let user = &registered["user"];
    (
        user["organization"]["name"].as_str().unwrap(),
        user["role"].as_str().unwrap(),
        registered.get("joinCode").is_some(),
    )
}
