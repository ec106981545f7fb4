use serde_json::json;

use crate::harness::{Answer, Person, TestApp};

async fn room_of_two(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    (ann, bob, room)
}

#[tokio::test]
async fn a_message_sent_by_rest_is_returned_and_pushed_to_all_sockets_of_the_members() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let sent = ann
        .post(
            "/api/messages",
            json!({"roomId": room.to_string(), "content": "Hello\tBob\n", "userId": ann.user_id}),
        )
        .await;
    let message = sent.created()["message"].take();
    let expected = json!({
        "messageId": format!("{room}-2"), "roomId": room, "seq": 2, "updatedSeq": 2, "kind": "text", "userId": ann.user_id,
        "name": ann.user_id, "content": "Hello\tBob\n", "isEncrypted": false, "clientMessageId": null, "replyTo": null,
        "quoted": null, "replyCount": 0, "mentions": [], "mentionsAll": false, "attachment": null, "reactions": [], "createdAt": message["createdAt"], "editedAt": null, "deleted": false
    });
    assert_eq!(message, expected);
    // It was a REST request, so all sockets of the sender receive the push too.
    for socket in [&mut anns, &mut bobs] {
        assert_eq!(
            socket.receives("receiveMessage").await,
            json!({"roomId": room, "seq": 2, "message": message})
        );
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn non_members_can_neither_send_nor_receive_messages() {
    let app = TestApp::start().await;
    let (ann, _, room) = room_of_two(&app).await;
    let (eve, zoe) = (app.prime("eve").await, app.foreigner("zoe").await);
    let (mut eves, mut zoes) = (eve.connect().await, zoe.connect().await);
    eve.says(room, "let me in").await.refused(403, "not_a_member");
    zoe.says(room, "let me in").await.refused(404, "room_not_found");
    eve.says(999_999_999, "anybody?").await.refused(404, "room_not_found");
    eves.refused("sendMessage", json!({"roomId": room, "content": "x"}), "not_a_member").await;
    zoes.refused("sendMessage", json!({"roomId": room, "content": "x"}), "room_not_found").await;
    ann.says(room, "just us").await.created();
    eves.has_nothing().await;
    zoes.has_nothing().await;
    assert_eq!(ann.reads(room).await.len(), 2, "a refused request takes no sequence number");
}

#[tokio::test]
async fn content_is_1_to_8000_characters_without_control_characters() {
    let app = TestApp::start().await;
    let (ann, _, room) = room_of_two(&app).await;
    for good in ["x".to_owned(), "😀".repeat(8000), "tab\tand\nnewline".to_owned(), " .\u{200b}".to_owned()]
    {
        let sent = ann.says(room, &good).await.created();
        assert_eq!(sent["message"]["content"], good);
    }
    for bad in [
        json!(""),
        json!("x".repeat(8001)),
        json!("bell\u{7}"),
        json!("return\r"),
        json!("   "),
        json!("\u{200b}"),
        json!("\t\r\n\u{3000}\u{feff}\u{2800}"),
        json!(7),
        json!(null),
        json!({}),
    ] {
        let answer = ann.post("/api/messages", json!({"roomId": room, "content": bad})).await;
        assert_eq!(answer.wrong_fields(), ["content"], "{bad}");
    }
}

#[tokio::test]
async fn a_line_break_is_one_newline_however_it_was_typed() {
    let app = TestApp::start().await;
    let (ann, _, room) = room_of_two(&app).await;
    let draft = |content: &str| json!({"roomId": room, "content": content, "clientMessageId": "k1"});
    let sent = ann.post("/api/messages", draft("one\r\ntwo\r\n")).await.created();
    assert_eq!(sent["message"]["content"], "one\ntwo\n");
    assert_eq!(ann.post("/api/messages", draft("one\ntwo\n")).await.ok(), sent, "it is the same text");
    ann.says(room, &"x\r\n".repeat(4000)).await.created();
    let message = sent["message"]["messageId"].as_str().unwrap();
    let edit = json!({"content": "three\r\nfour"});
    let edited = ann.patch(&format!("/api/messages/{message}"), edit).await.ok();
    assert_eq!(edited["message"]["content"], "three\nfour");
}

#[tokio::test]
async fn json_may_be_written_in_every_way() {
    let app = TestApp::start().await;
    let (ann, _, room) = room_of_two(&app).await;
    let content = r"\ud83d\ude00".repeat(8000);
    let draft = format!("\u{feff}{{\"roomId\": {room}.0, \"content\": \"{content}\"}}");
    let sent = ann.post_body("/api/messages", "application/json", draft.into_bytes()).await.created();
    assert_eq!(sent["message"]["content"], "😀".repeat(8000));
    let half = format!("{{\"roomId\": {room}, \"content\": \"\\ud83d\"}}").into_bytes();
    assert_eq!(ann.post_body("/api/messages", "application/json", half).await.wrong_fields(), ["body"]);
    let mut socket = ann.connect().await;
    let reference = r"\ud83d\ude00".repeat(63);
    socket.send_text(format!(
        "\u{feff}{{\"event\": \"sync\", \"data\": {{\"rooms\": {{\"{room}\": 1.0}}}}, \"ref\": \"{reference}\"}}"
    ))
    .await;
    let frame = socket.receive().await;
    assert_eq!((&frame["event"], &frame["ref"]), (&json!("sync"), &json!("😀".repeat(63))));
    let messages = &frame["data"]["rooms"][room.to_string()]["messages"];
    assert_eq!(messages.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_invalid_fields_of_a_message_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let answer = ann.post(
        "/api/messages",
        json!({"roomId": "x", "content": "", "clientMessageId": "", "isEncrypted": 1, "replyTo": "message-123", "userId": "!"}),
    );
    let wrong = answer.await.wrong_fields();
    assert_eq!(wrong, ["clientMessageId", "content", "isEncrypted", "replyTo", "roomId", "userId"]);
}

#[tokio::test]
async fn ciphertext_is_returned_untouched() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let ciphertext = "nonce:9f/+==\u{feff}e\u{301}";
    let sent = ann
        .post("/api/messages", json!({"roomId": room, "content": ciphertext, "isEncrypted": true}))
        .await
        .created();
    assert_eq!(sent["message"]["isEncrypted"], true);
    let history = bob.get(&format!("/chats/{room}?after=1")).await.ok();
    assert_eq!(
        (&history["messages"][0]["content"], &history["messages"][0]["isEncrypted"]),
        (&json!(ciphertext), &json!(true))
    );
}

#[tokio::test]
async fn a_reply_must_name_a_message_of_the_same_room() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let other = ann.opens_a_room().await;
    ann.says(other, "elsewhere").await.created();
    let first = ann.says(room, "tea?").await.created()["message"]["messageId"].take();
    let reply = async |to: &str| -> Answer {
        bob.post("/api/messages", json!({"roomId": room, "content": "yes", "replyTo": to})).await
    };
    assert_eq!(reply(first.as_str().unwrap()).await.created()["message"]["replyTo"], first);
    for nothing in [format!("{room}-99"), format!("{other}-1"), "message-123".to_owned(), format!("{room}-0")]
    {
        assert_eq!(reply(&nothing).await.wrong_fields(), ["replyTo"], "{nothing}");
    }
    assert_eq!(ann.reads(room).await.len(), 3, "a refused request takes no sequence number");
}

#[tokio::test]
async fn a_user_id_is_accepted_only_if_it_is_the_senders_own() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let draft = |user_id: &str| json!({"roomId": room, "content": "x", "userId": user_id});
    bob.post("/api/messages", draft(&ann.user_id)).await.refused(403, "identity_mismatch");
    let mut socket = bob.connect().await;
    socket.refused("sendMessage", draft(&ann.user_id), "identity_mismatch").await;
    socket.acked("sendMessage", draft(&bob.user_id)).await;
    assert_eq!(ann.reads(room).await.len(), 2);
}
