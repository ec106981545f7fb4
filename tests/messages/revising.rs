//! Editing and deleting.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};
use crate::uploads::{Form, PNG};

/// A room that Ann owns, with Bob and Eve as members.
async fn room_of_three(app: &TestApp) -> (Person, Person, Person, u64) {
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.user("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    eve.joins(room).await.created();
    (ann, bob, eve, room)
}

async fn said(person: &Person, room: u64, content: &str) -> String {
    let sent = person.says(room, content).await.created();
    sent["message"]["messageId"].as_str().unwrap().to_owned()
}

async fn edit(person: &Person, message: &str, content: &str) -> Answer {
    person.patch(&format!("/api/messages/{message}"), json!({"content": content})).await
}

async fn delete(person: &Person, message: &str) -> Answer {
    person.delete(&format!("/api/messages/{message}")).await
}

async fn last_seq(person: &Person, room: u64) -> u64 {
    person.get(&format!("/chats/{room}?limit=1")).await.ok()["lastSeq"].as_u64().unwrap()
}

/// The message as the history shows it, and as `sync` from `cursor` on returns it.
async fn read(person: &Person, room: u64, message: &str, cursor: u64) -> [Value; 2] {
    let named = |messages: &Value| {
        let mut all = messages.as_array().unwrap().iter();
        all.find(|one| one["messageId"] == message).cloned().unwrap_or_default()
    };
    let history = person.get(&format!("/chats/{room}?limit=200")).await.ok();
    let sync = person.post("/api/sync", json!({"rooms": {room.to_string(): cursor}})).await.ok();
    [named(&history["messages"]), named(&sync["rooms"][room.to_string()]["messages"])]
}

#[tokio::test]
async fn a_files_caption_can_be_emptied_and_a_text_cannot() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let form =
        Form::new().text("roomId", room).text("caption", "The garden").file("; filename=\"a.png\"", PNG);
    let sent = ann.uploads(form).await.created();
    let file = sent["message"]["messageId"].as_str().unwrap().to_owned();
    let text = said(&ann, room, "hello").await;
    let mut bobs = bob.connect().await;
    let edited = edit(&ann, &file, "").await.ok();
    assert_eq!(
        (&edited["message"]["content"], &edited["message"]["attachment"]),
        (&json!(""), &sent["message"]["attachment"])
    );
    assert_eq!(bobs.receives("messageEdited").await["message"]["content"], "");
    let mut anns = ann.connect().await;
    assert_eq!(
        anns.acked("editMessage", json!({"messageId": file, "content": "A tree"})).await["message"]["content"],
        "A tree"
    );
    assert_eq!(edit(&ann, &text, "").await.wrong_fields(), ["content"]);
    anns.refused("editMessage", json!({"messageId": text, "content": ""}), "invalid_request").await;
}

#[tokio::test]
async fn an_edit_takes_the_next_sequence_number_and_is_the_same_in_push_response_and_history() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "helo").await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let edited = edit(&bob, &message, "hello").await.ok()["message"].take();
    let seen = ["messageId", "seq", "updatedSeq", "content", "deleted", "userId", "kind"];
    assert_eq!(
        seen.map(|name| edited[name].clone()),
        [json!(message), json!(3), json!(4), json!("hello"), json!(false), json!(bob.user_id), json!("text")]
    );
    assert!(edited["editedAt"].as_str().unwrap() >= edited["createdAt"].as_str().unwrap());
    // It was a REST request, so all sockets of the sender receive the push too.
    for socket in [&mut anns, &mut bobs] {
        let pushed = socket.receives("messageEdited").await;
        assert_eq!(pushed, json!({"roomId": room, "seq": 4, "message": edited}));
        socket.has_nothing().await;
    }
    assert_eq!(read(&ann, room, &message, 3).await, [edited.clone(), edited]);
    assert_eq!(last_seq(&ann, room).await, 4);
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_edit_by_frame_is_acknowledged_and_pushed_to_all_other_sockets() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "helo").await;
    let (mut anns, mut phone, mut laptop) = (ann.connect().await, bob.connect().await, bob.connect().await);
    let ack = phone.acked("editMessage", json!({"messageId": message, "content": "hello"})).await;
    assert_eq!((&ack["roomId"], &ack["seq"]), (&json!(room), &json!(4)));
    assert_eq!((&ack["message"]["content"], &ack["message"]["updatedSeq"]), (&json!("hello"), &json!(4)));
    phone.has_nothing().await;
    for socket in [&mut anns, &mut laptop] {
        assert_eq!(socket.receives("messageEdited").await, ack);
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn an_edit_to_the_same_text_takes_no_sequence_number_and_is_not_pushed() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let same = edit(&bob, &message, "hello").await.ok()["message"].take();
    assert_eq!((&same["updatedSeq"], &same["editedAt"]), (&json!(3), &Value::Null));
    let ack = bobs.acked("editMessage", json!({"messageId": message, "content": "hello"})).await;
    assert_eq!(ack, json!({"roomId": room, "seq": 3, "message": same}));
    // A text that differs in case or in a space at the end is another text.
    edit(&bob, &message, "Hello").await.ok();
    edit(&bob, &message, "Hello ").await.ok();
    for (socket, number) in [(&mut anns, 4), (&mut bobs, 4)] {
        assert_eq!(socket.receives("messageEdited").await["seq"], number);
        assert_eq!(socket.receives("messageEdited").await["seq"], number + 1);
        socket.has_nothing().await;
    }
    assert_eq!(last_seq(&ann, room).await, 5);
}

#[tokio::test]
async fn only_the_sender_can_edit_a_message() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    for other in [&ann, &eve] {
        edit(other, &message, "what bob never said").await.refused(403, "not_sender");
        let frame = json!({"messageId": message, "content": "what bob never said"});
        other.connect().await.refused("editMessage", frame, "not_sender").await;
    }
    assert_eq!(read(&ann, room, &message, 2).await[0]["content"], "hello");
    assert_eq!(last_seq(&ann, room).await, 3, "a refused request takes no sequence number");
}

#[tokio::test]
async fn a_deletion_empties_the_message_and_keeps_its_place() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    edit(&bob, &message, "secret").await.ok();
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let deleted = delete(&bob, &message).await.ok()["message"].take();
    let seen = ["messageId", "seq", "updatedSeq", "content", "deleted", "attachment", "reactions", "kind"];
    assert_eq!(
        seen.map(|name| deleted[name].clone()),
        [json!(message), json!(3), json!(5), json!(""), json!(true), Value::Null, json!([]), json!("text")]
    );
    assert!(deleted["editedAt"].is_string());
    for socket in [&mut anns, &mut bobs] {
        let pushed = socket.receives("messageDeleted").await;
        assert_eq!(pushed, json!({"roomId": room, "seq": 5, "messageId": message, "message": deleted}));
        socket.has_nothing().await;
    }
    assert_eq!(read(&ann, room, &message, 4).await, [deleted.clone(), deleted]);
    let stored: Vec<(String, bool)> = app
        .rows(&format!(
            "SELECT content, deleted_at IS NOT NULL FROM messages WHERE room_id = {room} AND seq = 3"
        ))
        .await;
    assert_eq!(stored, [(String::new(), true)], "the content is erased");
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_deletion_by_frame_is_acknowledged_and_pushed_to_all_other_sockets() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    let (mut anns, mut phone, mut laptop) = (ann.connect().await, bob.connect().await, bob.connect().await);
    let ack = phone.acked("deleteMessage", json!({"messageId": message})).await;
    assert_eq!(
        (&ack["roomId"], &ack["seq"], &ack["message"]["deleted"]),
        (&json!(room), &json!(4), &json!(true))
    );
    phone.has_nothing().await;
    for socket in [&mut anns, &mut laptop] {
        let pushed = socket.receives("messageDeleted").await;
        assert_eq!(
            pushed,
            json!({"roomId": room, "seq": 4, "messageId": message, "message": ack["message"]})
        );
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn deleting_again_changes_nothing_and_a_deleted_message_cannot_be_edited() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    let deleted = delete(&bob, &message).await.ok();
    let mut anns = ann.connect().await;
    assert_eq!(delete(&bob, &message).await.ok(), deleted);
    assert_eq!(delete(&ann, &message).await.ok(), deleted);
    let ack = bob.connect().await.acked("deleteMessage", json!({"messageId": message})).await;
    assert_eq!(ack, json!({"roomId": room, "seq": 4, "message": deleted["message"]}));
    delete(&eve, &message).await.refused(403, "room_role_required");
    for person in [&bob, &ann] {
        edit(person, &message, "back again").await.refused(404, "message_not_found");
    }
    anns.has_nothing().await;
    assert_eq!(last_seq(&ann, room).await, 4);
}

#[tokio::test]
async fn only_the_sender_the_owner_and_the_rooms_moderators_can_delete_a_message() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room) = room_of_three(&app).await;
    let messages =
        [said(&bob, room, "one").await, said(&bob, room, "two").await, said(&bob, room, "three").await];
    delete(&eve, &messages[0]).await.refused(403, "room_role_required");
    let mut eves = eve.connect().await;
    eves.refused("deleteMessage", json!({"messageId": messages[0]}), "room_role_required").await;
    // A role in the organization counts only in channels.
    app.run("UPDATE users SET role = 'admin' WHERE user_id = ?", (&eve.user_id,)).await;
    delete(&eve, &messages[0]).await.refused(403, "room_role_required");
    app.run("UPDATE users SET role = 'user' WHERE user_id = ?", (&eve.user_id,)).await;
    assert_eq!(last_seq(&ann, room).await, 5, "a refused request takes no sequence number");

    delete(&bob, &messages[0]).await.ok();
    delete(&ann, &messages[1]).await.ok();
    let owners = said(&ann, room, "mine").await;
    app.run("UPDATE room_members SET role = 'moderator' WHERE user_id = ?", (&eve.user_id,)).await;
    delete(&eve, &messages[2]).await.ok();
    delete(&eve, &owners).await.ok();
    app.invariants_hold().await;
}

#[tokio::test]
async fn in_a_channel_the_organizations_moderators_and_admins_can_delete_if_they_are_members() {
    let app = TestApp::start().await;
    let (ann, bob, eve) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("eve").await);
    let room = ann.makes_a_channel("General").await;
    for person in [&bob, &eve] {
        person.joins(room).await.created();
    }
    // From here on Ann has her rights only as the channel's owner.
    app.set_role(&ann, "user").await;
    for role in ["moderator", "admin"] {
        let message = said(&bob, room, "hello").await;
        delete(&eve, &message).await.refused(403, "room_role_required");
        app.set_role(&eve, role).await;
        eve.leaves(room).await.no_content();
        delete(&eve, &message).await.refused(403, "not_a_member");
        eve.joins(room).await.created();
        delete(&eve, &message).await.ok();
        app.set_role(&eve, "user").await;
    }
    delete(&ann, &said(&bob, room, "again").await).await.ok();
}

#[tokio::test]
async fn in_a_direct_chat_nobody_can_delete_the_others_messages() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let anns = ann.writes_to(&bob, "hello").await.created();
    let bobs = bob.writes_to(&ann, "hi").await.created();
    for (person, other) in [(&ann, &bobs), (&bob, &anns)] {
        let message = other["message"]["messageId"].as_str().unwrap();
        delete(person, message).await.refused(403, "room_role_required");
    }
    delete(&ann, anns["message"]["messageId"].as_str().unwrap()).await.ok();
}

#[tokio::test]
async fn a_notice_can_be_neither_edited_nor_deleted() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let notice = format!("{room}-1");
    for person in [&ann, &bob] {
        assert_eq!(edit(person, &notice, "stayed away").await.wrong_fields(), ["messageId"]);
        assert_eq!(delete(person, &notice).await.wrong_fields(), ["messageId"]);
    }
    let mut socket = bob.connect().await;
    let data = json!({"messageId": notice, "content": "stayed away"});
    for event in ["editMessage", "deleteMessage"] {
        let problem = socket.refused(event, data.clone(), "invalid_request").await;
        assert_eq!(problem["errors"][0]["field"], "messageId");
    }
    assert_eq!(last_seq(&ann, room).await, 2);
}

#[tokio::test]
async fn non_members_cannot_edit_or_delete_and_learn_nothing_about_the_message() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let (max, zoe) = (app.prime("max").await, app.foreigner("zoe").await);
    let message = said(&bob, room, "hello").await;
    bob.leaves(room).await.no_content();
    let (nothing, nowhere) = (format!("{room}-99"), "999999999-1".to_owned());
    for (person, id, status, code) in [
        (&bob, &message, 403, "not_a_member"),
        (&max, &message, 403, "not_a_member"),
        (&max, &nothing, 403, "not_a_member"),
        (&ann, &nothing, 404, "message_not_found"),
        (&zoe, &message, 404, "message_not_found"),
        (&max, &nowhere, 404, "message_not_found"),
        (&ann, &"message-123".to_owned(), 404, "message_not_found"),
        (&ann, &"7".to_owned(), 404, "message_not_found"),
        (&ann, &format!("{room}-99999999999999999999"), 404, "message_not_found"),
    ] {
        edit(person, id, "mine now").await.refused(status, code);
        delete(person, id).await.refused(status, code);
        let mut socket = person.connect().await;
        let data = json!({"messageId": id, "content": "mine now"});
        socket.refused("editMessage", data.clone(), code).await;
        socket.refused("deleteMessage", data, code).await;
    }
    bob.joins(room).await.created();
    edit(&bob, &message, "here again").await.ok();
    assert_eq!(last_seq(&ann, room).await, 3 + 3);
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_edit_has_the_same_content_rules_as_a_send() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    for bad in [json!(""), json!("x".repeat(8001)), json!("bell\u{7}"), json!(7), json!(null)] {
        let answer = bob.patch(&format!("/api/messages/{message}"), json!({"content": bad})).await;
        assert_eq!(answer.wrong_fields(), ["content"], "{bad}");
    }
    let mut socket = bob.connect().await;
    let problem =
        socket.refused("editMessage", json!({"messageId": {}, "content": 7}), "invalid_request").await;
    let wrong: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(wrong, ["messageId", "content"]);
    let problem = socket.refused("deleteMessage", json!({}), "invalid_request").await;
    assert_eq!(problem["errors"][0]["field"], "messageId");
    edit(&bob, &message, &"😀".repeat(8000)).await.ok();
    assert_eq!(last_seq(&ann, room).await, 4);
}

#[tokio::test]
async fn an_edited_ciphertext_stays_ciphertext() {
    let app = TestApp::start().await;
    let (_, bob, _, room) = room_of_three(&app).await;
    let sent =
        bob.post("/api/messages", json!({"roomId": room, "content": "q83v", "isEncrypted": true})).await;
    let message = sent.created()["message"]["messageId"].as_str().unwrap().to_owned();
    let edited = edit(&bob, &message, "ASNF").await.ok();
    assert_eq!(
        (&edited["message"]["content"], &edited["message"]["isEncrypted"]),
        (&json!("ASNF"), &json!(true))
    );
}

#[tokio::test]
async fn a_send_repeated_after_an_edit_or_deletion_returns_the_current_message() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let draft = json!({"roomId": room, "content": "helo", "clientMessageId": "k1"});
    let sent = bob.post("/api/messages", draft.clone()).await.created();
    let message = sent["message"]["messageId"].as_str().unwrap();
    let edited = edit(&bob, message, "hello").await.ok();
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    assert_eq!(bob.post("/api/messages", draft.clone()).await.ok(), edited);
    let ack = bobs.acked("sendMessage", draft.clone()).await;
    assert_eq!(ack, json!({"roomId": room, "seq": 3, "message": edited["message"]}));
    // The current content is not what was sent with that id.
    let other = json!({"roomId": room, "content": "hello", "clientMessageId": "k1"});
    bob.post("/api/messages", other.clone()).await.refused(409, "client_message_id_reused");
    anns.has_nothing().await;

    let deleted = delete(&ann, message).await.ok();
    assert_eq!(bob.post("/api/messages", draft).await.ok(), deleted);
    bob.post("/api/messages", other).await.refused(409, "client_message_id_reused");
    anns.receives("messageDeleted").await;
    anns.has_nothing().await;
    assert_eq!(last_seq(&ann, room).await, 5);
}

#[tokio::test]
async fn concurrent_edits_and_deletions_take_a_sequence_number_each_and_no_edit_undoes_a_deletion() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    let mut eves = eve.connect().await;
    let edits = join_all((0..10).map(async |number| edit(&bob, &message, &format!("edit {number}")).await));
    let deletions = join_all((0..3).map(async |_| delete(&ann, &message).await));
    let (edits, deletions) = tokio::join!(edits, deletions);
    let mut seqs: Vec<u64> = Vec::new();
    for answer in &edits {
        match answer.status {
            200 => seqs.push(answer.json["message"]["updatedSeq"].as_u64().unwrap()),
            status => assert_eq!((status, &answer.json["code"]), (404, &json!("message_not_found"))),
        }
    }
    seqs.sort_unstable();
    let deleted: Vec<Value> = deletions.into_iter().map(Answer::ok).collect();
    assert!(deleted.iter().all(|one| *one == deleted[0]));
    let last = deleted[0]["message"]["updatedSeq"].as_u64().unwrap();
    assert_eq!(seqs, (4..last).collect::<Vec<_>>());
    assert_eq!(last_seq(&ann, room).await, last);
    assert_eq!(
        read(&ann, room, &message, 0).await,
        [deleted[0]["message"].clone(), deleted[0]["message"].clone()]
    );
    let mut received = Vec::new();
    for _ in 4..=last {
        received.push(eves.receive().await["data"]["seq"].as_u64().unwrap());
    }
    eves.has_nothing().await;
    received.sort_unstable();
    assert_eq!(received, (4..=last).collect::<Vec<_>>());
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_socket_whose_session_has_ended_cannot_edit_or_delete() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let message = said(&bob, room, "hello").await;
    for event in ["editMessage", "deleteMessage"] {
        let mut socket = bob.connect().await;
        app.run("UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?", (&bob.user_id,))
            .await;
        let data = json!({"messageId": message, "content": "too late"});
        socket.refused(event, data, "unauthenticated").await;
        assert_eq!(socket.closed().await, 1000);
    }
    assert_eq!(last_seq(&ann, room).await, 3);
}
