use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::TestApp;

/// The claims of an access token.
fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn the_first_access_token_has_the_organization_and_the_role() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let claims = claims(&json!(ann.access_token));
    let organization = ann.get("/api/profile/me").await.ok()["organization"]["id"].clone();
    assert_eq!((&claims["role"], &claims["org"]), (&json!("admin"), &organization));
    assert_ne!(organization, 1);
}

#[tokio::test]
async fn a_refreshed_access_token_has_the_current_role() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut refresh_token = ann.refresh_token.clone();
    for role in ["moderator", "admin", "user"] {
        app.set_role(&ann, role).await;
        let body = json!({"refreshToken": refresh_token});
        let refreshed = app.post("/api/auth/refresh-token", body).await.ok();
        assert_eq!(claims(&refreshed["accessToken"])["role"], role);
        refresh_token = refreshed["refreshToken"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn a_changed_role_takes_effect_at_once_whatever_the_token_says() {
    let app = TestApp::start().await;
    // Not in `public`, where everybody would receive the push.
    let ann = app.foreigner("ann").await;
    let mut socket = ann.connect().await;
    let (by_rest, by_frame) = (json!({"name": "By REST"}), json!({"roomName": "By frame"}));
    for role in ["moderator", "user", "admin", "user"] {
        app.set_role(&ann, role).await;
        let answer = ann.post("/api/chat", by_rest.clone()).await;
        if role == "user" {
            answer.refused(403, "role_required");
            socket.refused("newChatRoom", by_frame.clone(), "role_required").await;
        } else {
            answer.created();
            socket.receives("newChatRoom").await;
            socket.acked("newChatRoom", by_frame.clone()).await;
        }
    }
}
