use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_prime_user_can_create_a_password_room_and_owns_it() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.post("/api/chatrooms", json!({"name": "Tea", "password": "open sesame"})).await.created();
    let room = &room["room"];
    assert_eq!(
        (
            &room["kind"],
            &room["name"],
            &room["capacity"],
            &room["memberCount"],
            &room["lastSeq"],
            &room["createdBy"]
        ),
        (&json!("prime"), &json!("Tea"), &json!(6), &json!(1), &json!(0), &json!(ann.user_id))
    );
    let members = ann.get(&format!("/api/rooms/{}/members", room["id"])).await.ok();
    assert_eq!(
        (&members["members"][0]["userId"], &members["members"][0]["role"]),
        (&json!(ann.user_id), &json!("owner"))
    );
    assert_eq!(ann.reads(room["id"].as_u64().unwrap()).await, [], "a new room has no notice");
    let hashes: Vec<String> =
        app.rows(&format!("SELECT password_hash FROM rooms WHERE id = {}", room["id"])).await;
    assert!(hashes[0].starts_with("$2b$"), "{hashes:?}");
}

#[tokio::test]
async fn a_non_prime_user_cannot_create_a_password_room() {
    let app = TestApp::start().await;
    let bob = app.rich("bob", 1000).await;
    let answer = bob.post("/api/chatrooms", json!({"name": "Tea", "password": "open sesame"})).await;
    answer.refused(403, "prime_required");
}

#[tokio::test]
async fn a_room_without_a_name_gets_its_creators_name() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "name": "é".repeat(100), "isPrime": true})).await;
    let room = ann.post("/api/chatrooms", json!({"password": "open sesame"})).await.created();
    assert_eq!(room["room"]["name"], "é".repeat(100));
}

#[tokio::test]
async fn an_invalid_name_and_an_invalid_password_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let wrong = ann.post("/api/chatrooms", json!({"name": " ", "password": "short"})).await.wrong_fields();
    assert_eq!(wrong, ["name", "password"]);
    assert_eq!(
        ann.post("/api/chatrooms", json!({"name": "x".repeat(101)})).await.wrong_fields(),
        ["name", "password"]
    );
}
