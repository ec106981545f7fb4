//! What a link names: a room, a message, and what surrounds it.

use serde_json::{Value, json};

use crate::harness::TestApp;

#[tokio::test]
async fn a_room_opens_for_its_members_and_a_channel_for_its_organization() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let (room, channel) = (ann.opens_a_room().await, ann.makes_a_channel("General").await);
    let direct = ann.chats_with(&bob).await;
    bob.patch("/api/profile", json!({"name": "Robert"})).await.ok();
    for chat in [room, channel, direct] {
        let opened = ann.get(&format!("/api/rooms/{chat}")).await.ok();
        let chats = ann.get("/chats").await.ok();
        let listed = chats["data"].as_array().unwrap().iter().find(|listed| listed["chatId"] == chat);
        assert_eq!(opened["room"], listed.unwrap()["room"]);
    }
    let name = ann.get(&format!("/api/rooms/{direct}")).await.ok()["room"]["name"].take();
    assert_eq!(name, format!("{} & Robert", ann.user_id));
    assert_eq!(bob.get(&format!("/api/rooms/{channel}")).await.ok()["room"]["memberCount"], 1);
    bob.get(&format!("/api/rooms/{room}")).await.refused(403, "not_a_member");
    let zoe = app.user("zoe").await;
    for room in [room, channel, direct] {
        zoe.get(&format!("/api/rooms/{room}")).await.refused(404, "room_not_found");
    }
}

#[tokio::test]
async fn a_message_opens_in_its_present_state_for_the_members_of_its_room() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.user("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let said = ann.says(room, "Tea is ready").await.created();
    let path = format!("/api/messages/{room}-2");
    assert_eq!(bob.get(&path).await.ok(), said);
    bob.connect()
        .await
        .acked("reactMessage", json!({"messageId": format!("{room}-2"), "reaction": "👍"}))
        .await;
    let reactions = |message: Value| message["message"]["reactions"][0]["mine"].clone();
    assert_eq!(reactions(bob.get(&path).await.ok()), true);
    assert_eq!(reactions(ann.get(&path).await.ok()), false);
    ann.delete(&path).await.ok();
    assert_eq!(bob.get(&path).await.ok()["message"]["deleted"], true);
    assert_eq!(bob.get(&format!("/api/messages/{room}-1")).await.ok()["message"]["content"], "joined");
    // 3 and 4 are the numbers of the reaction and of the deletion.
    for unknown in [format!("{room}-3"), format!("{room}-99"), "message-123".to_owned()] {
        bob.get(&format!("/api/messages/{unknown}")).await.refused(404, "message_not_found");
    }
    eve.get(&path).await.refused(403, "not_a_member");
    app.foreigner("zoe").await.get(&path).await.refused(404, "message_not_found");
}

#[tokio::test]
async fn the_page_around_a_number_has_both_sides_of_it_and_says_where_there_is_more() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    for number in 1..=10 {
        ann.says(group, &number.to_string()).await.created();
    }
    // Number 11 is that of a change.
    ann.patch(&format!("/api/messages/{group}-1"), json!({"content": "changed"})).await.ok();
    ann.says(group, "12").await.created();
    for path in [format!("/chats/{group}"), format!("/groups/{group}/messages")] {
        let pages: [(&str, Vec<u64>, Value, Value); 10] = [
            ("around=5&limit=5", vec![3, 4, 5, 6, 7], json!(true), json!(true)),
            ("around=5&limit=4", vec![4, 5, 6, 7], json!(true), json!(true)),
            ("around=2&limit=6", vec![1, 2, 3, 4, 5], json!(false), json!(true)),
            ("around=11&limit=4", vec![9, 10, 12], json!(true), json!(false)),
            ("around=0&limit=1", vec![], json!(false), json!(true)),
            ("around=99&limit=1", vec![12], json!(true), json!(false)),
            ("around=6&limit=200", (1..=10).chain([12]).collect(), json!(false), json!(false)),
            ("limit=2", vec![10, 12], json!(true), json!(false)),
            ("before=3&limit=2", vec![1, 2], json!(false), json!(null)),
            ("after=9&limit=1", vec![10], json!(null), json!(true)),
        ];
        for (query, seqs, has_older, has_newer) in pages {
            let page = bob.get(&format!("{path}?{query}")).await.ok();
            let messages = page["messages"].as_array().unwrap().iter();
            let shown: Vec<u64> = messages.map(|message| message["seq"].as_u64().unwrap()).collect();
            assert_eq!(shown, seqs, "{query}");
            assert_eq!((&page["hasOlder"], &page["hasNewer"]), (&has_older, &has_newer), "{query}");
            assert_eq!(page["hasMore"], has_older == true || has_newer == true, "{query}");
        }
    }
    assert_eq!(bob.get(&format!("/chats/{group}?around=1&after=1")).await.wrong_fields(), ["around"]);
}
