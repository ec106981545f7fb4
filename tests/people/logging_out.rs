use serde_json::json;

use crate::harness::{Answer, Person, TestApp};

async fn two_sessions(app: &TestApp) -> [Person; 2] {
    let phone = app.register(json!({"userId": "ann", "password": "correct horse", "isPrime": true})).await;
    let login =
        app.post("/api/auth/login", json!({"userId": phone.user_id, "password": "correct horse"})).await.ok();
    [phone, Person::new(app, &login)]
}

#[tokio::test]
async fn logging_out_ends_only_this_session_with_its_tokens_and_sockets() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let (mut on_phone, mut on_laptop) = (phone.connect().await, laptop.connect().await);
    phone.post("/api/auth/logout", json!({})).await.no_content();
    on_phone.receives("sessionRevoked").await;
    assert_eq!(on_phone.closed().await, 1000);
    phone.get("/api/profile/me").await.refused(401, "unauthenticated");
    let refresh = app.post("/api/auth/refresh-token", json!({"refreshToken": phone.refresh_token})).await;
    refresh.refused(401, "unauthenticated");
    on_laptop.has_nothing().await;
    laptop.get("/api/profile/me").await.ok();
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let bob = app.user("bob").await;
    let mut sockets = [phone.connect().await, laptop.connect().await];
    phone.post("/api/auth/logout", json!({"everywhere": true})).await.no_content();
    for socket in &mut sockets {
        socket.receives("sessionRevoked").await;
        assert_eq!(socket.closed().await, 1000);
    }
    laptop.get("/api/profile/me").await.refused(401, "unauthenticated");
    bob.get("/api/profile/me").await.ok();
}

#[tokio::test]
async fn logging_out_needs_no_body_and_an_invalid_one_is_reported() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let wrong = phone.post("/api/auth/logout", json!({"everywhere": "yes"})).await;
    assert_eq!(wrong.wrong_fields(), ["everywhere"]);
    let request = app.http.post(format!("{}/api/auth/logout", app.url)).bearer_auth(&laptop.access_token);
    Answer::of(request, "POST", "/api/auth/logout", None).await.no_content();
}

#[tokio::test]
async fn a_204_has_neither_a_body_nor_a_content_type() {
    let app = TestApp::start().await;
    let answer = app.user("ann").await.post("/api/auth/logout", json!({})).await;
    assert!(!answer.headers.contains_key("content-type"), "{:?}", answer.headers);
    answer.no_content();
}

#[tokio::test]
async fn a_socket_whose_session_has_ended_receives_no_later_messages() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let room = laptop.opens_a_room().await;
    let mut on_phone = phone.connect().await;
    laptop.says(room, "before").await.created();
    phone.post("/api/auth/logout", json!({})).await.no_content();
    laptop.says(room, "after").await.created();
    assert_eq!(on_phone.receives("receiveMessage").await["message"]["content"], "before");
    on_phone.receives("sessionRevoked").await;
    assert_eq!(on_phone.closed().await, 1000);
}
