use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_new_channel_is_announced_only_to_the_invited_users() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let (cat, dan) = (app.foreigner("cat").await, app.foreigner("dan").await);
    let (mut anns, mut anns_other) = (ann.connect().await, ann.connect().await);
    let (mut bobs, mut cats, mut dans) = (bob.connect().await, cat.connect().await, dan.connect().await);
    let invited = json!([bob.user_id, cat.user_id, bob.user_id]);
    let ack =
        anns.acked("newChatRoom", json!({"roomName": "Project Updates", "invitedUsers": invited})).await;
    let room = &ack["chatRoom"];
    assert_eq!(
        (&ack["roomId"], &room["kind"], &room["createdBy"]),
        (&room["id"], &json!("channel"), &json!(ann.user_id))
    );
    let expected = json!({
        "roomId": room["id"], "roomName": "Project Updates", "organizationId": room["organizationId"],
        "invitedUsers": [bob.user_id, cat.user_id], "chatRoom": room
    });
    assert_eq!(bobs.receives("newChatRoom").await, expected);
    assert_eq!(cats.receives("newChatRoom").await, expected);
    for socket in [&mut anns, &mut anns_other, &mut dans, &mut bobs, &mut cats] {
        socket.has_nothing().await;
    }
    // Members of the organization who were not invited can join it too.
    dan.joins(room["id"].as_u64().unwrap()).await.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn without_invited_users_a_channel_is_announced_to_the_whole_organization() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.foreigner("ann").await, app.foreigner("bob").await, app.user("eve").await);
    let (mut anns, mut anns_other) = (ann.connect().await, ann.connect().await);
    let (mut bobs, mut eves) = (bob.connect().await, eve.connect().await);
    for invited in [json!(null), json!([])] {
        let ack = anns.acked("newChatRoom", json!({"roomName": "All hands", "invitedUsers": invited})).await;
        for socket in [&mut anns_other, &mut bobs] {
            let received = socket.receives("newChatRoom").await;
            assert_eq!((&received["chatRoom"], &received["invitedUsers"]), (&ack["chatRoom"], &json!([])));
        }
    }
    anns.has_nothing().await;
    eves.has_nothing().await;
}

#[tokio::test]
async fn a_creator_who_is_invited_receives_the_announcement_on_their_other_sockets() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let (mut asking, mut other) = (ann.connect().await, ann.connect().await);
    asking.acked("newChatRoom", json!({"roomName": "Notes", "invitedUsers": [ann.user_id]})).await;
    other.receives("newChatRoom").await;
    asking.has_nothing().await;
}

#[tokio::test]
async fn an_existing_channel_is_announced_under_its_own_name_and_not_created_again() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let channel = ann.makes_a_channel("General").await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    for given in [json!(channel), json!(channel.to_string())] {
        let ack = anns.acked("newChatRoom", json!({"roomName": "Free beer", "roomId": given})).await;
        assert_eq!(ack["roomId"], channel);
        let received = bobs.receives("newChatRoom").await;
        assert_eq!((&received["roomId"], &received["roomName"]), (&json!(channel), &json!("General")));
    }
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 1);
}

#[tokio::test]
async fn the_creator_a_moderator_or_an_admin_can_announce_an_existing_channel() {
    let app = TestApp::start().await;
    let (ann, bob, cat) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("cat").await);
    app.set_role(&bob, "moderator").await;
    let channel = bob.makes_a_channel("General").await;
    app.set_role(&bob, "user").await;
    cat.joins(channel).await.created();
    let announcement = json!({"roomName": "General", "roomId": channel, "invitedUsers": [ann.user_id]});
    let (mut bobs, mut cats) = (bob.connect().await, cat.connect().await);
    bobs.acked("newChatRoom", announcement.clone()).await;
    cats.refused("newChatRoom", announcement.clone(), "role_required").await;
    app.set_role(&cat, "moderator").await;
    cats.acked("newChatRoom", announcement.clone()).await;
    ann.connect().await.acked("newChatRoom", announcement).await;
}

#[tokio::test]
async fn a_room_id_that_is_not_a_channels_is_ignored_and_the_new_channel_gets_its_own() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let prime = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    for room in [json!(prime), json!("999999999")] {
        let ack = socket.acked("newChatRoom", json!({"roomName": "Project", "roomId": room})).await;
        assert_eq!(
            (&ack["chatRoom"]["kind"], &ack["chatRoom"]["name"]),
            (&json!("channel"), &json!("Project"))
        );
        assert_ne!(ack["roomId"].to_string(), room.as_str().map_or(room.to_string(), str::to_owned));
    }
}

#[tokio::test]
async fn an_unknown_or_foreign_invitee_is_not_found_and_no_channel_is_created() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.foreigner("ann").await, app.foreigner("bob").await, app.user("eve").await);
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    for stranger in [eve.user_id.as_str(), "nobody-of-this-name"] {
        let announcement = json!({"roomName": "Project", "invitedUsers": [bob.user_id, stranger]});
        anns.refused("newChatRoom", announcement, "user_not_found").await;
    }
    bobs.has_nothing().await;
    eves.has_nothing().await;
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 0);
}

#[tokio::test]
async fn another_organization_is_not_found_and_ones_own_is_accepted() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let own = ann.get("/api/profile/me").await.ok()["organization"]["id"].clone();
    let mut socket = ann.connect().await;
    for other in [json!(1), json!("1"), json!(999_999_999)] {
        let announcement = json!({"roomName": "Project", "organizationId": other});
        socket.refused("newChatRoom", announcement, "organization_not_found").await;
    }
    socket.acked("newChatRoom", json!({"roomName": "Project", "organizationId": own})).await;
    let ack =
        socket.acked("newChatRoom", json!({"roomName": "Project", "organizationId": own.to_string()})).await;
    assert_eq!(ack["chatRoom"]["organizationId"], own);
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 2);
}

#[tokio::test]
async fn all_invalid_fields_of_an_announcement_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let mut socket = ann.connect().await;
    let wrong = json!({"roomName": " ", "invitedUsers": "bob", "roomId": "general", "organizationId": []});
    let problem = socket.refused("newChatRoom", wrong, "invalid_request").await;
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, ["roomName", "invitedUsers", "roomId", "organizationId"]);
    socket.refused("newChatRoom", json!({}), "invalid_request").await;
}

#[tokio::test]
async fn a_socket_whose_session_has_ended_cannot_create_a_channel() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let mut socket = ann.connect().await;
    app.run("UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?", (&ann.user_id,)).await;
    socket.refused("newChatRoom", json!({"roomName": "Project"}), "unauthenticated").await;
    assert_eq!(socket.closed().await, 1000);
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 0);
}
