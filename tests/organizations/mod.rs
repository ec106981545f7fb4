//! Contract section 1: organizations, who gets into them, and what one is there.

mod closed;
mod join_codes;
mod registering;
mod roles;

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

/// Registers somebody into an organization, with whatever else they say.
async fn registers(app: &TestApp, organization: &str, more: Value) -> Answer {
    let mut registration = json!({"password": "correct horse", "organizationName": organization});
    registration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.post("/api/auth/register", registration).await
}

/// What a registration answered of somebody's place: organization's name, role, and whether it had a
/// join code.
fn place(registered: &Value) -> (&str, &str, bool) {
    let user = &registered["user"];
    (
        user["organization"]["name"].as_str().unwrap(),
        user["role"].as_str().unwrap(),
        registered.get("joinCode").is_some(),
    )
}
