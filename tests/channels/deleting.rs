use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn an_admin_can_delete_a_channel_and_its_members_are_notified() {
    let app = TestApp::start().await;
    let (ann, bob, cat) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("cat").await);
    let channel = ann.makes_a_channel("General").await;
    bob.joins(channel).await.created();
    bob.says(channel, "hello").await.created();
    let (mut anns, mut bobs, mut cats) = (ann.connect().await, bob.connect().await, cat.connect().await);
    ann.delete(&format!("/api/chat/{channel}")).await.no_content();
    for socket in [&mut anns, &mut bobs] {
        assert_eq!(socket.receives("roomDeleted").await, json!({"roomId": channel}));
    }
    cats.has_nothing().await;

    bob.says(channel, "anybody?").await.refused(404, "room_not_found");
    bob.get(&format!("/chats/{channel}")).await.refused(404, "room_not_found");
    bob.joins(channel).await.refused(404, "room_not_found");
    ann.delete(&format!("/api/chat/{channel}")).await.refused(404, "room_not_found");
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 0);
    let gone = bob.post("/api/sync", json!({"rooms": {channel.to_string(): 0}})).await.ok();
    assert_eq!(gone["rooms"][channel.to_string()], json!({"gone": true}));
    for table in ["messages", "room_members"] {
        let left: Vec<u64> =
            app.rows(&format!("SELECT COUNT(*) FROM {table} WHERE room_id = {channel}")).await;
        assert_eq!(left, [0], "{table}");
    }
}

#[tokio::test]
async fn only_an_admin_can_delete_a_channel() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    app.set_role(&bob, "moderator").await;
    let own = bob.makes_a_channel("Bob's own").await;
    for role in ["moderator", "user"] {
        app.set_role(&bob, role).await;
        bob.delete(&format!("/api/chat/{own}")).await.refused(403, "role_required");
    }
    ann.delete(&format!("/api/chat/{own}")).await.no_content();
}

#[tokio::test]
async fn a_room_of_another_kind_is_not_deleted_as_a_channel() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let room = ann.opens_a_room().await;
    ann.delete(&format!("/api/chat/{room}")).await.refused(404, "room_not_found");
    ann.delete("/api/chat/999999999").await.refused(404, "room_not_found");
    assert_eq!(ann.delete("/api/chat/general").await.wrong_fields(), ["roomId"]);
    assert_eq!(ann.reads(room).await, []);
}

#[tokio::test]
async fn sends_and_joins_that_race_with_the_deletion_succeed_or_find_no_room() {
    let app = TestApp::start().await;
    let (ann, bob, cat) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("cat").await);
    for _ in 0..10 {
        let channel = ann.makes_a_channel("General").await;
        let path = format!("/api/chat/{channel}");
        let (deleted, again, said, joined, left) = tokio::join!(
            ann.delete(&path),
            ann.delete(&path),
            ann.says(channel, "hello"),
            bob.joins(channel),
            cat.joins(channel),
        );
        let mut deletions = [deleted.status, again.status];
        deletions.sort_unstable();
        assert_eq!(deletions, [204, 404]);
        for answer in [said, joined, left] {
            assert!(answer.status == 201 || answer.json["code"] == "room_not_found", "{}", answer.json);
        }
    }
    app.invariants_hold().await;
}
