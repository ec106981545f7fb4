use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn an_admin_or_a_moderator_can_create_a_channel_and_owns_it() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    app.set_role(&bob, "moderator").await;
    for person in [&ann, &bob] {
        let room =
            person.post("/api/chat", json!({"name": "General Discussion"})).await.created()["chatRoom"]
                .clone();
        let seen = ["kind", "name", "capacity", "memberCount", "createdBy", "lastSeq"]
            .map(|name| room[name].clone());
        let expected = [
            json!("channel"),
            json!("General Discussion"),
            json!(1000),
            json!(1),
            json!(person.user_id),
            json!(0),
        ];
        assert_eq!(seen, expected);
        let members = person.get(&format!("/api/rooms/{}/members", room["id"])).await.ok();
        assert_eq!(members["members"][0]["role"], "owner");
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_plain_user_cannot_create_a_channel() {
    let app = TestApp::start().await;
    let (_, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    bob.post("/api/chat", json!({"name": "General"})).await.refused(403, "role_required");
    assert_eq!(bob.get("/api/chat").await.ok()["total"], 0);
}

#[tokio::test]
async fn a_channel_needs_a_valid_name() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    for name in [json!(null), json!(""), json!(" "), json!("x".repeat(101)), json!("a\nb"), json!(7)] {
        assert_eq!(ann.post("/api/chat", json!({"name": name})).await.wrong_fields(), ["name"], "{name}");
    }
}

#[tokio::test]
async fn a_new_channel_is_announced_to_the_whole_organization_and_nobody_else() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.foreigner("ann").await, app.foreigner("bob").await, app.user("eve").await);
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    let made = ann.post("/api/chat", json!({"name": "General"})).await.created();
    let room = &made["chatRoom"];
    let expected = json!({
        "roomId": room["id"], "roomName": "General", "organizationId": room["organizationId"], "invitedUsers": [],
        "chatRoom": room
    });
    // After a REST request the creator's sockets receive the push too, since none of them got an ack.
    assert_eq!(anns.receives("newChatRoom").await, expected);
    assert_eq!(bobs.receives("newChatRoom").await, expected);
    eves.has_nothing().await;
}
