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
        "attachment": null, "reactions": [], "createdAt": message["createdAt"], "editedAt": null, "deleted": false
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
    for good in ["x".to_owned(), "😀".repeat(8000), "tab\tand\nnewline".to_owned(), " ".to_owned()] {
        let sent = ann.says(room, &good).await.created();
        assert_eq!(sent["message"]["content"], good);
    }
    for bad in [
        json!(""),
        json!("x".repeat(8001)),
        json!("bell\u{7}"),
        json!("return\r"),
        json!(7),
        json!(null),
        json!({}),
    ] {
        let answer = ann.post("/api/messages", json!({"roomId": room, "content": bad})).await;
        assert_eq!(answer.wrong_fields(), ["content"], "{bad}");
    }
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
