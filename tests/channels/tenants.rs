//! No function or event about channels shows one organization anything of another.

use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn no_route_or_event_finds_a_channel_of_another_organization() {
    let app = TestApp::start().await;
    let (ann, zoe) = (app.of("Acme", "ann").await, app.of("Bell", "zoe").await);
    let channel = ann.makes_a_channel("Secret plans").await;
    ann.says(channel, "hush").await.created();

    assert_eq!(zoe.get("/api/chat").await.ok()["total"], 0);
    assert_eq!(zoe.get("/api").await.ok()["data"], json!([]));
    zoe.delete(&format!("/api/chat/{channel}")).await.refused(404, "room_not_found");
    zoe.post("/api/joinroom", json!({"roomId": channel})).await.refused(404, "room_not_found");
    zoe.get(&format!("/chats/{channel}")).await.refused(404, "room_not_found");
    zoe.get(&format!("/api/rooms/{channel}/members")).await.refused(404, "room_not_found");
    zoe.says(channel, "hello?").await.refused(404, "room_not_found");

    let mut zoes = zoe.connect().await;
    for event in ["joinRoom", "leaveRoom", "typing", "stopTyping"] {
        zoes.refused(event, json!({"roomId": channel}), "room_not_found").await;
    }
    zoes.refused("readMessage", json!({"messageId": format!("{channel}-1")}), "room_not_found").await;
    assert_eq!(ann.reads(channel).await, [(1, "hush".to_owned())]);
}

#[tokio::test]
async fn an_announcement_neither_reaches_nor_names_anything_of_another_organization() {
    let app = TestApp::start().await;
    let (ann, zoe) = (app.of("Acme", "ann").await, app.of("Bell", "zoe").await);
    let channel = ann.makes_a_channel("Secret plans").await;
    let (mut anns, mut zoes) = (ann.connect().await, zoe.connect().await);
    // For Zoe this id is unknown, so it is ignored.
    let ack = zoes.acked("newChatRoom", json!({"roomName": "Ours", "roomId": channel})).await;
    assert_ne!(ack["roomId"], channel);
    assert_eq!(ack["chatRoom"]["name"], "Ours");
    zoes.refused("newChatRoom", json!({"roomName": "x", "invitedUsers": [ann.user_id]}), "user_not_found")
        .await;
    let acme = ann.get("/api/profile/me").await.ok()["organization"]["id"].clone();
    let there = json!({"roomName": "x", "organizationId": acme});
    zoes.refused("newChatRoom", there, "organization_not_found").await;
    anns.has_nothing().await;
    anns.acked("newChatRoom", json!({"roomName": "Announced to all of us"})).await;
    ann.delete(&format!("/api/chat/{channel}")).await.no_content();
    zoes.has_nothing().await;
}

#[tokio::test]
async fn an_admin_has_no_rights_in_another_organization() {
    let app = TestApp::start().await;
    let (ann, _zoe, yan) =
        (app.of("Acme", "ann").await, app.of("Bell", "zoe").await, app.of("Bell", "yan").await);
    let channel = ann.makes_a_channel("General").await;
    app.set_role(&yan, "admin").await;
    yan.delete(&format!("/api/chat/{channel}")).await.refused(404, "room_not_found");
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 1);
    ann.get(&format!("/api/profile/{}", yan.user_id)).await.refused(404, "user_not_found");
}
