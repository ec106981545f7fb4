use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn a_group_message_reaches_the_members_and_nobody_else() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let group = ann.groups(&[&bob]).await;
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    let ack = anns.acked("groupMessage", json!({"groupId": group.to_string(), "content": "Hello!"})).await;
    assert_eq!(
        (&ack["roomId"], &ack["seq"], &ack["message"]["content"]),
        (&json!(group), &json!(1), &json!("Hello!"))
    );
    assert_eq!(bobs.receives("receiveMessage").await, ack);
    for socket in [&mut anns, &mut bobs, &mut eves] {
        socket.has_nothing().await;
    }
    let history = bob.get(&format!("/groups/{group}/messages")).await.ok();
    assert_eq!(history["messages"], json!([ack["message"]]));
    assert_eq!(history, ann.get(&format!("/chats/{group}")).await.ok());
}

#[tokio::test]
async fn a_group_message_can_be_repeated_replied_to_and_encrypted() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.groups(&[]).await;
    let mut socket = ann.connect().await;
    let draft = json!({"groupId": group, "content": "q83v", "isEncrypted": true, "clientMessageId": "k1", "userId": ann.user_id});
    let first = socket.acked("groupMessage", draft.clone()).await;
    assert_eq!(socket.acked("groupMessage", draft).await, first);
    let other = json!({"groupId": group, "content": "other", "clientMessageId": "k1"});
    socket.refused("groupMessage", other, "client_message_id_reused").await;
    let reply = json!({"groupId": group, "content": "re", "replyTo": first["message"]["messageId"]});
    assert_eq!(
        socket.acked("groupMessage", reply).await["message"]["replyTo"],
        first["message"]["messageId"]
    );
    let problem = socket
        .refused(
            "groupMessage",
            json!({"groupId": "x", "content": "", "replyTo": "x", "userId": "!"}),
            "invalid_request",
        )
        .await;
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["groupId", "content", "replyTo", "userId"]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_routes_and_events_of_groups_find_no_other_rooms() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let (group, prime) = (ann.groups(&[]).await, ann.opens_a_room().await);
    let direct = ann.writes_to(&bob, "hello").await.created()["chatId"].as_u64().unwrap();
    let foreign = zoe.groups(&[]).await;
    let mut anns = ann.connect().await;
    for room in [prime, direct, foreign, 999_999_999] {
        anns.refused("groupMessage", json!({"groupId": room, "content": "x"}), "room_not_found").await;
        anns.refused("joinGroup", json!({"groupId": room}), "room_not_found").await;
        ann.get(&format!("/groups/{room}/messages")).await.refused(404, "room_not_found");
    }
    assert_eq!((ann.reads(prime).await.len(), ann.reads(direct).await.len()), (0, 1));
    let mut bobs = bob.connect().await;
    bobs.refused("groupMessage", json!({"groupId": group, "content": "x"}), "not_a_member").await;
    bobs.refused("joinGroup", json!({"groupId": group}), "not_a_member").await;
    bob.get(&format!("/groups/{group}/messages")).await.refused(403, "not_a_member");
    bobs.refused("joinRoom", json!({"roomId": group}), "room_not_found").await;
    // The events for rooms of every kind find groups too.
    anns.acked("sendMessage", json!({"roomId": group, "content": "x"})).await;
    app.get(&format!("/groups/{group}/messages")).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn join_group_returns_the_group_to_a_member_and_changes_nothing() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let ack = bobs.acked("joinGroup", json!({"groupId": group})).await;
    assert_eq!(
        (&ack["roomId"], &ack["group"]["id"], &ack["group"]["memberCount"]),
        (&json!(group), &json!(group), &json!(2))
    );
    assert_eq!(ack["group"], bob.get("/chats").await.ok()["data"][0]["room"]);
    anns.has_nothing().await;
    let problem = bobs.refused("joinGroup", json!({}), "invalid_request").await;
    assert_eq!(problem["errors"][0]["field"], "groupId");
}

#[tokio::test]
async fn nobody_can_send_in_the_name_of_another_user() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let mut anns = ann.connect().await;
    let draft = json!({"groupId": group, "content": "x", "userId": bob.user_id});
    anns.refused("groupMessage", draft, "identity_mismatch").await;
    assert_eq!(ann.reads(group).await, []);
}

#[tokio::test]
async fn invalid_parameters_of_a_page_are_reported() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let path = format!("/groups/{}/messages", ann.groups(&[]).await);
    assert_eq!(
        ann.get(&format!("{path}?before=x&after=-1&limit=201")).await.wrong_fields(),
        ["after", "before", "limit"]
    );
    assert_eq!(ann.get("/groups/abc/messages").await.wrong_fields(), ["groupId"]);
}
