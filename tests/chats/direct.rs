use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

async fn chats(person: &Person) -> Vec<Value> {
    person.get("/chats?pageSize=100").await.ok()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_first_message_creates_the_chat_with_both_users_as_members() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    let sent = ann.writes_to(&bob, "Hello, Bob!").await.created();
    let chat = &sent["chatId"];
    assert_eq!(
        (&sent["message"]["seq"], &sent["message"]["kind"], &sent["message"]["roomId"]),
        (&json!(1), &json!("text"), chat)
    );
    for socket in [&mut anns, &mut bobs] {
        let received = socket.receives("receiveMessage").await;
        // Its members do not know the room yet.
        let room = bob.get(&format!("/api/rooms/{chat}")).await.ok()["room"].take();
        let expected = json!({"roomId": chat, "seq": 1, "message": sent["message"], "room": room});
        assert_eq!(received, expected);
        socket.has_nothing().await;
    }
    eves.has_nothing().await;

    let room = chats(&bob).await[0]["room"].take();
    let expected = json!({
        "id": chat, "kind": "direct", "name": format!("{} & {}", ann.user_id, bob.user_id), "capacity": 2, "memberCount": 2,
        "topic": null, "slowModeSeconds": 0,
        "createdBy": ann.user_id, "organizationId": 1, "lastSeq": 1, "createdAt": room["createdAt"], "updatedAt": room["updatedAt"],
        "avatarUrl": null
    });
    assert_eq!(room, expected);
    let members = bob.get(&format!("/api/rooms/{chat}/members")).await.ok();
    let members = members["members"].as_array().unwrap().iter();
    let mut roles: Vec<_> = members
        .map(|member| (member["userId"].as_str().unwrap(), member["role"].as_str().unwrap()))
        .collect();
    roles.sort_unstable();
    assert_eq!(roles, [(ann.user_id.as_str(), "owner"), (bob.user_id.as_str(), "member")]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn two_users_have_one_chat_whoever_writes_and_whichever_field_names_the_other() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let chat = ann.writes_to(&bob, "1").await.created()["chatId"].as_u64().unwrap();
    for (number, (writer, field, other)) in
        [(&bob, "userId", &ann), (&bob, "receiverId", &ann), (&ann, "to", &bob)].into_iter().enumerate()
    {
        let letter = json!({(field): other.user_id, "content": (number + 2).to_string()});
        assert_eq!(writer.post("/chats/send-message", letter).await.created()["chatId"], chat);
    }
    let by_chat = json!({"chatId": chat.to_string(), "content": "5"});
    assert_eq!(bob.post("/chats/send-message", by_chat).await.created()["chatId"], chat);
    let all: Vec<_> = (1..=5).map(|number| (number, number.to_string())).collect();
    assert_eq!(ann.reads(chat).await, all, "a direct chat has no notices");
    assert_ne!(ann.writes_to(&eve, "hello").await.created()["chatId"], chat);
    assert_eq!((chats(&ann).await.len(), chats(&bob).await.len(), chats(&eve).await.len()), (2, 1, 1));
}

#[tokio::test]
async fn a_direct_chat_can_be_neither_left_nor_joined_nor_read_by_others() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.prime("eve").await);
    let zoe = app.foreigner("zoe").await;
    let chat = ann.writes_to(&bob, "between us").await.created()["chatId"].as_u64().unwrap();
    ann.leaves(chat).await.refused(409, "direct_chat");
    eve.joins(chat).await.refused(404, "room_not_found");
    let letter = json!({"chatId": chat, "content": "let me in"});
    eve.post("/chats/send-message", letter.clone()).await.refused(403, "not_a_member");
    zoe.post("/chats/send-message", letter).await.refused(404, "room_not_found");
    eve.get(&format!("/chats/{chat}")).await.refused(403, "not_a_member");
    zoe.get(&format!("/chats/{chat}")).await.refused(404, "room_not_found");
    assert_eq!(ann.reads(chat).await.len(), 1);
}

#[tokio::test]
async fn no_chat_is_created_with_oneself_or_with_an_unknown_or_foreign_user() {
    let app = TestApp::start().await;
    let (ann, zoe) = (app.user("ann").await, app.foreigner("zoe").await);
    for field in ["userId", "receiverId", "to"] {
        let letter = json!({(field): ann.user_id, "content": "note to self"});
        assert_eq!(ann.post("/chats/send-message", letter).await.wrong_fields(), [field]);
    }
    let foreign = ann.writes_to(&zoe, "hello").await.refused(404, "user_not_found");
    let unknown = json!({"userId": "nobody-of-this-name", "content": "hello"});
    assert_eq!(ann.post("/chats/send-message", unknown).await.refused(404, "user_not_found"), foreign);
    assert_eq!((chats(&ann).await.len(), chats(&zoe).await.len()), (0, 0));
    app.post("/chats/send-message", json!({"userId": ann.user_id, "content": "x"}))
        .await
        .refused(401, "unauthenticated");
}

#[tokio::test]
async fn exactly_one_receiver_is_required_and_all_invalid_fields_are_reported_together() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let wrong = async |letter: Value| ann.post("/chats/send-message", letter).await.wrong_fields().join(" ");
    assert_eq!(wrong(json!({"content": "x"})).await, "userId");
    assert_eq!(wrong(json!({"userId": bob.user_id, "to": bob.user_id, "content": "x"})).await, "userId");
    assert_eq!(wrong(json!({"userId": bob.user_id, "chatId": 1, "content": "x"})).await, "userId");
    let all =
        json!({"to": "!", "content": "", "clientMessageId": "", "isEncrypted": 1, "replyTo": "message-123"});
    assert_eq!(wrong(all).await, "clientMessageId content isEncrypted replyTo to");
    assert_eq!(wrong(json!({"chatId": "one"})).await, "chatId content");
    assert_eq!(wrong(json!([])).await, "body");
    assert_eq!(chats(&bob).await.len(), 0);
}

#[tokio::test]
async fn a_message_can_be_sent_to_a_room_of_any_kind() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let (prime, group) = (ann.opens_a_room().await, ann.groups(&[&bob]).await);
    bob.joins(prime).await.created();
    for (room, seq) in [(prime, 2), (group, 1)] {
        let sent =
            bob.post("/chats/send-message", json!({"chatId": room, "content": "hello"})).await.created();
        assert_eq!((&sent["chatId"], &sent["message"]["seq"]), (&json!(room), &json!(seq)));
    }
    bob.post("/chats/send-message", json!({"chatId": 999_999_999, "content": "x"}))
        .await
        .refused(404, "room_not_found");
}

#[tokio::test]
async fn the_very_first_message_can_be_repeated() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut bobs = bob.connect().await;
    let letter = |content: &str| json!({"userId": bob.user_id, "content": content, "clientMessageId": "k1"});
    let first = ann.post("/chats/send-message", letter("once")).await.created();
    assert_eq!(ann.post("/chats/send-message", letter("once")).await.ok(), first);
    let by_chat = json!({"chatId": first["chatId"], "content": "once", "clientMessageId": "k1"});
    assert_eq!(ann.post("/chats/send-message", by_chat).await.ok(), first);
    ann.post("/chats/send-message", letter("twice")).await.refused(409, "client_message_id_reused");
    bobs.receives("receiveMessage").await;
    bobs.has_nothing().await;
    assert_eq!(bob.reads(first["chatId"].as_u64().unwrap()).await, [(1, "once".to_owned())]);
}

#[tokio::test]
async fn a_first_message_cannot_be_a_reply_and_a_refused_one_creates_no_chat() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    ann.says(group, "elsewhere").await.created();
    let reply = async |to: Value| {
        ann.post("/chats/send-message", json!({"userId": bob.user_id, "content": "re", "replyTo": to})).await
    };
    assert_eq!(reply(json!(format!("{group}-1"))).await.wrong_fields(), ["replyTo"]);
    assert_eq!(chats(&bob).await.len(), 1, "only the group");
    let first = ann.writes_to(&bob, "first").await.created();
    assert_eq!(reply(json!(format!("{group}-1"))).await.wrong_fields(), ["replyTo"]);
    assert_eq!(reply(json!(format!("{}-9", first["chatId"]))).await.wrong_fields(), ["replyTo"]);
    let replied = reply(first["message"]["messageId"].clone()).await.created();
    assert_eq!(
        (&replied["message"]["seq"], &replied["message"]["replyTo"]),
        (&json!(2), &first["message"]["messageId"])
    );
}

#[tokio::test]
async fn a_chat_can_begin_with_ciphertext_and_long_user_names_are_cut_in_its_name() {
    let app = TestApp::start().await;
    let (ann, bob) = (
        app.register(json!({"userId": "ann", "name": "Ä".repeat(100)})).await,
        app.register(json!({"userId": "bob", "name": "b".repeat(100)})).await,
    );
    let letter = json!({"userId": bob.user_id, "content": "q83vASNFZ4k=", "isEncrypted": true});
    let sent = ann.post("/chats/send-message", letter).await.created();
    assert_eq!(
        (&sent["message"]["isEncrypted"], &sent["message"]["content"]),
        (&json!(true), &json!("q83vASNFZ4k="))
    );
    let name = format!("{} & {}", "Ä".repeat(48), "b".repeat(48));
    assert_eq!(chats(&bob).await[0]["room"]["name"], name);
}

#[tokio::test]
async fn a_direct_chat_has_the_names_that_its_two_users_have_now() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.register(json!({"userId": "ann", "name": "Ann"})).await, app.user("bob").await);
    ann.writes_to(&bob, "hello").await.created();
    let name = async |person: &Person| chats(person).await[0]["room"]["name"].take();
    for (person, new, expected) in [
        (&bob, "Bob", "Ann & Bob".to_owned()),
        (&ann, "Ann Lee", "Ann Lee & Bob".to_owned()),
        (&bob, "b".repeat(100).as_str(), format!("Ann Lee & {}", "b".repeat(48))),
    ] {
        person.patch("/api/profile", json!({"name": new})).await.ok();
        assert_eq!((name(&ann).await, name(&bob).await), (json!(expected), json!(expected)));
    }
}
