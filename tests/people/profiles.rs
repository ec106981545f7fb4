use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn others_see_the_public_fields_and_no_more() {
    let app = TestApp::start().await;
    app.register(json!({"userId": "ann", "name": "Ann", "email": "ann@example.com", "phone": "+4912345", "availCoins": 7}))
        .await;
    let bob = app.user("bob").await;
    assert_eq!(
        bob.get("/api/profile/ann").await.ok(),
        json!({"userId": "ann", "username": null, "name": "Ann", "role": "user", "prime": false, "online": false})
    );
}

#[tokio::test]
async fn who_has_a_socket_open_is_online() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let ann_path = format!("/api/profile/{}", ann.user_id);
    let socket = ann.connect().await;
    assert_eq!(bob.get(&ann_path).await.ok()["online"], true);
    socket.close().await;
    // The close reaches the functions as `$disconnect`, which is an event of its own.
    while bob.get(&ann_path).await.ok()["online"] == true {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn somebody_unknown_and_somebody_of_another_organization_are_not_found_alike() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let zoe = app.foreigner("zoe").await;
    let unknown = ann.get("/api/profile/nobody").await.refused(404, "user_not_found");
    let foreign = ann.get(&format!("/api/profile/{}", zoe.user_id)).await.refused(404, "user_not_found");
    assert_eq!(unknown, foreign);
}

#[tokio::test]
async fn a_user_id_that_cannot_be_one_is_refused_by_name() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    assert_eq!(ann.get("/api/profile/a%20b").await.wrong_fields(), ["userId"]);
}
