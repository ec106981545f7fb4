use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn members_are_listed_oldest_first_with_their_roles_and_presence() {
    let app = TestApp::start().await;
    let (zed, bob) = (app.prime("zed").await, app.user("bob").await);
    let room = zed.opens_a_room().await;
    bob.joins(room).await.created();
    let _socket = bob.connect().await;
    let list = zed.get(&format!("/api/rooms/{room}/members")).await.ok();
    let seen: Vec<_> = list["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (&m["userId"], &m["role"], &m["online"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!(zed.user_id), &json!("owner"), &json!(false)),
            (&json!(bob.user_id), &json!("member"), &json!(true))
        ]
    );
}

#[tokio::test]
async fn only_members_can_list_the_members_of_a_room() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let path = format!("/api/rooms/{}/members", ann.opens_a_room().await);
    bob.get(&path).await.refused(403, "not_a_member");
    zoe.get(&path).await.refused(404, "room_not_found");
    bob.get("/api/rooms/999999999/members").await.refused(404, "room_not_found");
}

#[tokio::test]
async fn a_room_that_everybody_left_still_exists() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    ann.leaves(room).await.no_content();
    ann.get(&format!("/api/rooms/{room}/members")).await.refused(403, "not_a_member");
}
