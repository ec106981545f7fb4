//! Mentions: docs/contract.md, "Mentions".

use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// A group of Ann's with Bob and Carl.
async fn group_of_three(app: &TestApp) -> (Person, Person, Person, u64) {
    let (ann, bob, carl) = (app.user("ann").await, app.user("bob").await, app.user("carl").await);
    let group = ann.groups(&[&bob, &carl]).await;
    (ann, bob, carl, group)
}

async fn unread(person: &Person, room: u64) -> (Value, Value) {
    let chats = person.get("/chats").await.ok();
    let chat = chats["data"].as_array().unwrap().iter().find(|chat| chat["chatId"] == room).unwrap();
    (chat["unread"].clone(), chat["unreadMentions"].clone())
}

/// The ids of the messages that mention a person, in parts of two.
async fn mentions(person: &Person) -> Vec<String> {
    let parts = person.parts("/api/mentions", 2).await;
    parts.concat().iter().map(|message| message["messageId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_message_names_members_who_find_it_unread_and_in_their_list() {
    let app = TestApp::start().await;
    let (ann, bob, carl, group) = group_of_three(&app).await;
    let mut bobs = bob.connect().await;
    let mention = async |person: &Person, room: u64, content: &str, named: &[&Person]| {
        let named: Vec<_> = named.iter().map(|person| &person.user_id).collect();
        let draft =
            json!({"roomId": room, "content": content, "mentions": named, "clientMessageId": content});
        person.post("/api/messages", draft).await
    };
    // Naming somebody twice, or oneself, changes nothing else.
    let sent = mention(&ann, group, "one", &[&bob, &ann, &bob]).await.created()["message"].take();
    assert_eq!(
        (&sent["mentions"], &sent["mentionsAll"]),
        (&json!([bob.user_id, ann.user_id]), &json!(false))
    );
    assert_eq!(bobs.receives("receiveMessage").await["message"], sent);
    assert_eq!(carl.get(&format!("/chats/{group}")).await.ok()["messages"], json!([sent]));
    mention(&carl, group, "two", &[&bob]).await.created();
    mention(&bob, group, "three", &[&bob]).await.created();
    let chat = ann.chats_with(&bob).await;
    mention(&ann, chat, "four", &[&bob]).await.created();
    assert_eq!(unread(&bob, group).await, (json!(2), json!(2)));
    assert_eq!(unread(&bob, chat).await, (json!(2), json!(1)));
    assert_eq!(unread(&carl, group).await, (json!(2), json!(0)));
    assert_eq!(unread(&ann, group).await, (json!(2), json!(0)));
    let expected = [format!("{chat}-2"), format!("{group}-2"), format!("{group}-1")];
    assert_eq!(mentions(&bob).await, expected);
    assert_eq!(bob.get("/api/mentions").await.ok()["messages"][2], sent);
    assert_eq!(mentions(&ann).await, Vec::<String>::new());
    bobs.rest().await;
    bobs.acked("readMessage", json!({"roomId": group, "seq": 1})).await;
    assert_eq!(unread(&bob, group).await, (json!(1), json!(1)));
    // Only members can be mentioned, but a repeated send is answered even when somebody has left since.
    let eve = app.user("eve").await;
    let refused = mention(&ann, group, "five", &[&bob, &eve]).await;
    assert!(refused.json["errors"][0]["message"].as_str().unwrap().contains(&eve.user_id));
    assert_eq!(refused.wrong_fields(), ["mentions"]);
    let list =
        json!({"roomId": group, "messages": [{"content": "x"}, {"content": "y", "mentions": ["nobody"]}]});
    assert_eq!(ann.post("/api/messages/batch", list).await.wrong_fields(), ["messages.1.mentions"]);
    let first = json!({"userId": eve.user_id, "content": "hi", "mentions": [bob.user_id]});
    assert_eq!(ann.post("/chats/send-message", first).await.wrong_fields(), ["mentions"]);
    bob.leaves(group).await.no_content();
    assert_eq!(mentions(&bob).await, expected[..1]);
    assert_eq!(mention(&ann, group, "one", &[&bob, &ann]).await.ok()["message"], sent);
    mention(&ann, group, "one", &[&bob]).await.refused(409, "client_message_id_reused");
    ann.post(&format!("/groups/{group}/add-user"), json!({"userId": bob.user_id})).await.ok();
    assert_eq!(mentions(&bob).await, expected);
    ann.delete(&format!("/api/messages/{group}-1")).await.ok();
    assert_eq!(mentions(&bob).await, expected[..2]);
    app.invariants_hold().await;
    // A deleted room takes its mentions with it.
    ann.delete(&format!("/api/rooms/{group}")).await.no_content();
    assert_eq!(mentions(&bob).await, expected[..1]);
    let left: u64 = app.rows(&format!("SELECT COUNT(*) FROM mentions WHERE room_id = {group}")).await[0];
    assert_eq!(left, 0);
}

#[tokio::test]
async fn owners_and_moderators_mention_all() {
    let app = TestApp::start().await;
    let (ann, bob, carl, group) = group_of_three(&app).await;
    let all = |person: &Person| json!({"roomId": group, "content": "all!", "mentionsAll": true, "userId": person.user_id});
    let sent = ann.post("/api/messages", all(&ann)).await.created()["message"].take();
    assert_eq!((&sent["mentions"], &sent["mentionsAll"]), (&json!([]), &json!(true)));
    bob.post("/api/messages", all(&bob)).await.refused(403, "room_role_required");
    let list =
        json!({"roomId": group, "messages": [{"content": "x"}, {"content": "y", "mentionsAll": true}]});
    bob.connect().await.refused("sendMessages", list.clone(), "room_role_required").await;
    ann.appoints(group, &bob, "moderator").await.ok();
    let mut both = all(&bob);
    both["mentions"] = json!([carl.user_id]);
    bob.post("/api/messages", both).await.created();
    bob.post("/api/messages/batch", list).await.created();
    assert_eq!(unread(&ann, group).await, (json!(3), json!(2)));
    assert_eq!(unread(&bob, group).await, (json!(1), json!(1)));
    assert_eq!(unread(&carl, group).await, (json!(4), json!(3)), "each message counts once");
    assert_eq!((mentions(&carl).await, mentions(&ann).await), (vec![format!("{group}-2")], vec![]));
    // Both users of a direct chat may.
    let chat = ann.chats_with(&bob).await;
    for person in [&ann, &bob] {
        let draft = json!({"roomId": chat, "content": "all!", "mentionsAll": true});
        person.post("/api/messages", draft).await.created();
    }
    assert_eq!(unread(&ann, chat).await, (json!(1), json!(1)));
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_edit_changes_the_mentions_that_it_names() {
    let app = TestApp::start().await;
    let (ann, bob, carl, group) = group_of_three(&app).await;
    let draft = json!({"roomId": group, "content": "hi", "mentions": [carl.user_id]});
    bob.post("/api/messages", draft).await.created();
    let mut bobs = bob.connect().await;
    let path = format!("/api/messages/{group}-1");
    let edit = async |edit: Value| bob.patch(&path, edit).await;
    let state = |answer: Value| {
        let message = &answer["message"];
        (message["updatedSeq"].clone(), message["mentions"].clone(), message["mentionsAll"].clone())
    };
    let edited = edit(json!({"content": "hello"})).await.ok();
    assert_eq!(state(edited), (json!(2), json!([carl.user_id]), json!(false)));
    let same = edit(json!({"content": "hello", "mentions": [carl.user_id], "mentionsAll": false})).await.ok();
    assert_eq!(same["message"]["updatedSeq"], 2);
    let edited = edit(json!({"content": "hello", "mentions": [ann.user_id, carl.user_id]})).await.ok();
    assert_eq!(state(edited.clone()), (json!(3), json!([ann.user_id, carl.user_id]), json!(false)));
    for _ in 0..2 {
        bobs.receives("messageEdited").await;
    }
    assert_eq!((mentions(&ann).await.len(), unread(&ann, group).await.1), (1, json!(1)));
    // Only what is new is checked.
    edit(json!({"content": "x", "mentionsAll": true})).await.refused(403, "room_role_required");
    assert_eq!(edit(json!({"content": "x", "mentions": ["nobody"]})).await.wrong_fields(), ["mentions"]);
    carl.leaves(group).await.no_content();
    bobs.receives("userLeft").await;
    edit(json!({"content": "x", "mentions": [carl.user_id]})).await.ok();
    bobs.receives("messageEdited").await;
    assert_eq!(mentions(&ann).await.len(), 0);
    ann.appoints(group, &bob, "moderator").await.ok();
    let frame =
        json!({"messageId": format!("{group}-1"), "content": "x", "mentions": [], "mentionsAll": true});
    let ack = bobs.acked("editMessage", frame).await;
    assert_eq!(state(ack), (json!(6), json!([]), json!(true)));
    ann.appoints(group, &bob, "member").await.ok();
    edit(json!({"content": "y", "mentionsAll": true})).await.ok();
    assert_eq!(unread(&ann, group).await.1, 1);
    app.invariants_hold().await;
}
