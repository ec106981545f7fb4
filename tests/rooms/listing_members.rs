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
async fn members_are_read_part_by_part_also_those_who_came_at_once() {
    let app = TestApp::start().await;
    let (ann, bob, cat) = (app.user("ann").await, app.user("bob").await, app.user("cat").await);
    let group = ann.groups(&[&cat, &bob]).await;
    let dan = app.user("dan").await;
    let add = json!({"userId": dan.user_id});
    ann.post(&format!("/groups/{group}/add-user"), add).await.ok();
    let path = format!("/api/rooms/{group}/members");
    let whole = ann.get(&path).await.ok();
    assert_eq!(whole["next"], json!(null));
    for limit in 1..=4 {
        let parts = ann.parts(&path, limit).await;
        assert!(parts.iter().all(|part| part.len() <= limit as usize));
        assert_eq!(json!(parts.concat()), whole["members"]);
    }
    let end = "18446744073709551615.";
    assert_eq!(ann.get(&format!("{path}?after={end}")).await.ok(), json!({"members": [], "next": null}));
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
