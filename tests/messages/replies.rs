//! Replies: docs/contract.md, "Replies".

use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

async fn room_of_two(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    (ann, bob, room)
}

async fn replies(person: &Person, room: u64, to: &Value, content: &str) -> Value {
    let draft = json!({"roomId": room, "content": content, "replyTo": to});
    person.post("/api/messages", draft).await.created()["message"].take()
}

/// A message of the room's history.
async fn read(person: &Person, room: u64, seq: u64) -> Value {
    person.get(&format!("/chats/{room}?after={}&limit=1", seq - 1)).await.ok()["messages"][0].take()
}

#[tokio::test]
async fn a_reply_quotes_the_message_wherever_it_is_shown() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let mut anns = ann.connect().await;
    let long = format!("\"Tea\\\n\t'😀{}", "x".repeat(300));
    let first = ann.says(room, &long).await.created()["message"].take();
    anns.receives("receiveMessage").await;
    let reply = replies(&bob, room, &first["messageId"], "yes").await;
    let quoted = json!({
        "messageId": first["messageId"], "userId": ann.user_id, "name": ann.user_id, "kind": "text",
        "content": long.chars().take(200).collect::<String>(), "isEncrypted": false, "deleted": false
    });
    assert_eq!((&reply["quoted"], &reply["replyCount"]), (&quoted, &json!(0)));
    assert_eq!(anns.receives("receiveMessage").await["message"], reply);
    let seq = reply["seq"].as_u64().unwrap();
    let synced = anns.ask("sync", json!({"rooms": {room.to_string(): seq - 1}})).await;
    assert_eq!(synced["data"]["rooms"][room.to_string()]["messages"], json!([reply]));
    assert_eq!(ann.get("/chats").await.ok()["data"][0]["lastMessage"], reply);
    assert_eq!(read(&ann, room, seq).await, reply);
    // It shows the message as it is now.
    ann.patch("/api/profile", json!({"name": "Ann Lee"})).await.ok();
    let path = format!("/api/messages/{}", first["messageId"].as_str().unwrap());
    ann.patch(&path, json!({"content": "Coffee"})).await.ok();
    let quoted = &read(&bob, room, seq).await["quoted"];
    assert_eq!((&quoted["content"], &quoted["name"]), (&json!("Coffee"), &json!("Ann Lee")));
    ann.delete(&path).await.ok();
    let edited = bob.patch(&format!("/api/messages/{room}-{seq}"), json!({"content": "no"})).await.ok();
    let quoted = &edited["message"]["quoted"];
    assert_eq!((&quoted["content"], &quoted["deleted"]), (&json!(""), &json!(true)));
    // A repeated send, a reply to a system message and to ciphertext.
    let draft =
        json!({"roomId": room, "content": "hi", "replyTo": format!("{room}-1"), "clientMessageId": "k"});
    let sent = bob.post("/api/messages", draft.clone()).await.created();
    assert_eq!(
        (&sent["message"]["quoted"]["kind"], &sent["message"]["quoted"]["content"]),
        (&json!("system"), &json!("joined"))
    );
    assert_eq!(bob.post("/api/messages", draft).await.ok(), sent);
    let secret = json!({"roomId": room, "content": "q83v", "isEncrypted": true});
    let secret = ann.post("/api/messages", secret).await.created()["message"]["messageId"].take();
    let reply = replies(&bob, room, &secret, "what?").await;
    assert_eq!(
        (&reply["quoted"]["isEncrypted"], &reply["quoted"]["content"]),
        (&json!(true), &json!("q83v"))
    );
}

#[tokio::test]
async fn a_message_counts_its_replies_and_lists_them_page_by_page() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let first = ann.says(room, "Tea?").await.created()["message"].take();
    let (id, seq) = (&first["messageId"], first["seq"].as_u64().unwrap());
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(replies(&bob, room, id, &number.to_string()).await);
        ann.says(room, "no reply").await.created();
    }
    // Several at once, to the same message and to another one.
    let list = json!({"roomId": room, "messages": [
        {"content": "5", "replyTo": id}, {"content": "6", "replyTo": id}, {"content": "7", "replyTo": all[0]["messageId"]}]});
    let sent = bob.post("/api/messages/batch", list).await.created();
    all.extend(sent["messages"].as_array().unwrap()[..2].iter().cloned());
    let counted = read(&ann, room, seq).await;
    assert_eq!((&counted["replyCount"], &counted["updatedSeq"]), (&json!(7), &json!(seq)));
    assert_eq!(read(&ann, room, all[0]["seq"].as_u64().unwrap()).await["replyCount"], 1);
    // A refused reply counts nothing, and a deleted one keeps its place.
    let draft = json!({"roomId": room, "content": "x", "replyTo": id, "userId": ann.user_id});
    bob.post("/api/messages", draft).await.refused(403, "identity_mismatch");
    let path = format!("/api/messages/{}", all[1]["messageId"].as_str().unwrap());
    all[1] = bob.delete(&path).await.ok()["message"].take();
    all[0] = read(&bob, room, all[0]["seq"].as_u64().unwrap()).await;
    let path = format!("/api/messages/{}/replies", id.as_str().unwrap());
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let page = ann.get(&format!("{path}?after={after}&limit=3")).await.ok();
        listed.extend(page["messages"].as_array().unwrap().iter().cloned());
        after = listed.last().unwrap()["seq"].as_u64().unwrap();
        if page["hasMore"] == false {
            break;
        }
        assert_eq!(page["messages"].as_array().unwrap().len(), 3);
    }
    assert_eq!(listed, all);
    assert_eq!(ann.get(&path).await.ok(), json!({"messages": all, "hasMore": false}));
    let none = ann.get(&format!("/api/messages/{room}-1/replies")).await.ok();
    assert_eq!(none, json!({"messages": [], "hasMore": false}));
    for unknown in [format!("{room}-999"), "999999999-1".to_owned(), "message-123".to_owned()] {
        ann.get(&format!("/api/messages/{unknown}/replies")).await.refused(404, "message_not_found");
    }
    app.invariants_hold().await;
}
