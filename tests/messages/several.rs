//! Several messages in one request: docs/contract.md, "Sending several messages".

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

async fn room_of_two(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    (ann, bob, room)
}

/// A request with a message for each content. With a name each has a `clientMessageId`.
fn list(room: u64, name: Option<&str>, contents: &[&str]) -> Value {
    let message = |(place, content): (usize, &&str)| {
        let id = name.map(|name| format!("{name} {place}"));
        json!({"content": content, "clientMessageId": id})
    };
    json!({"roomId": room, "messages": contents.iter().enumerate().map(message).collect::<Vec<_>>()})
}

#[tokio::test]
async fn messages_of_one_request_are_stored_acknowledged_and_pushed_in_their_order() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let (mut anns, mut phone, mut bobs) = (ann.connect().await, ann.connect().await, bob.connect().await);
    let contents: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
    let ack = anns.acked("sendMessages", list(room, Some("k"), &contents)).await;
    let named = (0..20).map(|number| {
        json!({"messageId": format!("{room}-{}", number + 2), "seq": number + 2, "clientMessageId": format!("k {number}")})
    });
    assert_eq!(ack, json!({"roomId": room, "seq": 21, "messages": named.collect::<Vec<_>>()}));
    anns.has_nothing().await;
    for socket in [&mut phone, &mut bobs] {
        for (number, content) in contents.iter().enumerate() {
            let pushed = socket.receives("receiveMessage").await;
            assert_eq!(
                (&pushed["seq"], &pushed["message"]["content"]),
                (&json!(number + 2), &json!(content))
            );
        }
        socket.has_nothing().await;
    }
    // Over REST the answer has the messages whole, and all of the sender's sockets get them.
    let mut draft = list(room, None, &["one", "two"]);
    draft["messages"][1]["replyTo"] = json!(format!("{room}-2"));
    draft["userId"] = json!(ann.user_id);
    let sent = ann.post("/api/messages/batch", draft).await.created();
    for socket in [&mut anns, &mut phone, &mut bobs] {
        for message in sent["messages"].as_array().unwrap() {
            let pushed = socket.receives("receiveMessage").await;
            assert_eq!(pushed, json!({"roomId": room, "seq": message["seq"], "message": message}));
        }
    }
    let read = bob.get(&format!("/chats/{room}?after=21")).await.ok();
    assert_eq!(read["messages"], sent["messages"]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn requests_at_the_same_time_do_not_mix_their_messages() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let sends = (0..12).map(async |number: usize| {
        let contents: Vec<String> = (0..5 + number % 10).map(|place| format!("{number} {place}")).collect();
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        let person = [&ann, &bob][number % 2];
        person.says(room, "by itself").await.created();
        let sent = person.post("/api/messages/batch", list(room, None, &contents)).await.created();
        sent["messages"][0]["seq"].as_u64().unwrap()
    });
    let firsts = join_all(sends).await;
    let read = ann.reads(room).await;
    for (number, first) in firsts.into_iter().enumerate() {
        for place in 0..5 + number % 10 {
            let seq = first + place as u64;
            assert!(read.contains(&(seq, format!("{number} {place}"))), "{seq} in {read:?}");
        }
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn one_message_that_cannot_be_sent_keeps_all_from_being_sent() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let mut bobs = bob.connect().await;
    let mut draft = list(room, Some("k"), &["one", "two", "three"]);
    draft["messages"][2]["replyTo"] = json!(format!("{room}-999"));
    assert_eq!(ann.post("/api/messages/batch", draft.clone()).await.wrong_fields(), ["messages.2.replyTo"]);
    let mut anns = ann.connect().await;
    let refused = anns.refused("sendMessages", draft.clone(), "invalid_request").await;
    assert_eq!(refused["errors"][0]["field"], "messages.2.replyTo");
    draft["userId"] = json!(bob.user_id);
    ann.post("/api/messages/batch", draft).await.refused(403, "identity_mismatch");
    // A refused request does not use up its ids.
    let all = ann.post("/api/messages/batch", list(room, Some("k"), &["one", "two"])).await.created();
    assert_eq!(all["messages"][0]["seq"], 2);
    bobs.receives("receiveMessage").await;
    bobs.receives("receiveMessage").await;
    bobs.has_nothing().await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_the_stored_messages() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let mut bobs = bob.connect().await;
    let draft = list(room, Some("k"), &["one", "two", "three"]);
    // Eight at once store it once.
    let answers = join_all((0..8).map(|_| ann.post("/api/messages/batch", draft.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let sent = answers[0].json.clone();
    assert!(answers.iter().all(|answer| answer.json == sent));
    for seq in 2..5 {
        assert_eq!(bobs.receives("receiveMessage").await["seq"], seq);
    }
    let mut anns = ann.connect().await;
    let ack = anns.acked("sendMessages", draft.clone()).await;
    assert_eq!((&ack["seq"], &ack["messages"][0]["messageId"]), (&json!(4), &json!(format!("{room}-2"))));
    // The present state, also by the id of one of them.
    ann.patch(&format!("/api/messages/{room}-3"), json!({"content": "2"})).await.ok();
    let again = ann.post("/api/messages/batch", draft.clone()).await.ok();
    assert_eq!(again["messages"][1]["content"], "2");
    let one = json!({"roomId": room, "content": "three", "clientMessageId": "k 2"});
    assert_eq!(ann.post("/api/messages", one).await.ok()["message"], again["messages"][2]);
    // Other requests under these ids.
    for other in [
        list(room, Some("k"), &["one", "two", "four"]),
        list(room, Some("k"), &["one", "two", "three", "four"]),
        json!({"roomId": room, "messages": [{"content": "new", "clientMessageId": "new"},
                                            {"content": "one", "clientMessageId": "k 0"}]}),
    ] {
        ann.post("/api/messages/batch", other).await.refused(409, "client_message_id_reused");
    }
    bobs.receives("messageEdited").await;
    bobs.has_nothing().await;
    assert_eq!(ann.reads(room).await.len(), 4);
    app.invariants_hold().await;
}

#[tokio::test]
async fn messages_of_one_request_count_as_so_many_and_are_refused_together() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "10/600")]).await;
    let (ann, _, room) = room_of_two(&app).await;
    let send =
        async |number: usize| ann.post("/api/messages/batch", list(room, None, &vec!["x"; number])).await;
    assert_eq!(send(11).await.wrong_fields(), ["messages"]);
    send(6).await.created();
    send(5).await.refused(429, "rate_limited");
    send(3).await.created();
    ann.says(room, "the tenth").await.created();
    send(1).await.refused(429, "rate_limited");
    // A refusal for another reason counts as so many, too.
    let bob = app.prime("carl").await;
    for status in [403, 429] {
        let answer = bob.post("/api/messages/batch", list(room, None, &["x"; 6])).await;
        assert_eq!(answer.status, status, "{}", answer.json);
    }
    assert_eq!(ann.reads(room).await.len(), 11);
    app.invariants_hold().await;
}
