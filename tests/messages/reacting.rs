//! Reactions.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, Socket, TestApp};

/// A room that Ann owns, with Bob and Eve as members. The message is Bob's, with the sequence number 3.
async fn room_of_three(app: &TestApp) -> (Person, Person, Person, u64, String) {
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.user("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    eve.joins(room).await.created();
    let message = said(&bob, room, "hello").await;
    (ann, bob, eve, room, message)
}

/// A group of `many` people with a message of the first; their names sort in their order.
async fn crowd(app: &TestApp, many: usize) -> (Vec<Person>, u64, String) {
    let names: Vec<_> = (0..many).map(|number| format!("p{number:02}")).collect();
    let people = join_all(names.iter().map(|name| app.user(name))).await;
    let group = people[0].groups(&people[1..].iter().collect::<Vec<_>>()).await;
    let message = said(&people[0], group, "hello").await;
    (people, group, message)
}

async fn said(person: &Person, room: u64, content: &str) -> String {
    let sent = person.says(room, content).await.created();
    sent["message"]["messageId"].as_str().unwrap().to_owned()
}

fn react(message: &str, reaction: &str) -> Value {
    json!({"messageId": message, "reaction": reaction})
}

fn take_back(message: &str, reaction: &str) -> Value {
    json!({"messageId": message, "reaction": reaction, "remove": true})
}

/// Sends a frame and returns its answer. Pushes that arrive before it are ignored.
async fn answer(socket: &mut Socket, data: Value) -> Value {
    let reference = socket.send("reactMessage", data).await;
    loop {
        let frame = socket.receive().await;
        if frame["ref"] == reference {
            return frame;
        }
    }
}

/// Sends the frame on a new socket, where it must be acknowledged, and returns the message.
async fn reacts(person: &Person, data: Value) -> Value {
    let frame = answer(&mut person.connect().await, data).await;
    assert_eq!(frame["event"], "ack", "{frame}");
    frame["data"]["message"].clone()
}

/// The message as this person's history shows it.
async fn read(person: &Person, message: &str) -> Value {
    let room = message.split_once('-').unwrap().0;
    let history = person.get(&format!("/chats/{room}?limit=200")).await.ok();
    let mut all = history["messages"].as_array().unwrap().iter();
    all.find(|one| one["messageId"] == message).unwrap().clone()
}

async fn last_seq(person: &Person, room: u64) -> u64 {
    person.get(&format!("/chats/{room}?limit=1")).await.ok()["lastSeq"].as_u64().unwrap()
}

fn given(reaction: &str, mine: bool, people: &[&Person]) -> Value {
    let user_ids: Vec<_> = people.iter().map(|person| &person.user_id).collect();
    json!({"reaction": reaction, "count": people.len(), "mine": mine, "userIds": user_ids})
}

/// How many reactions to a message are stored.
async fn rows(app: &TestApp, message: &str) -> u64 {
    let (room, seq) = message.split_once('-').unwrap();
    app.rows(&format!("SELECT COUNT(*) FROM reactions WHERE room_id = {room} AND seq = {seq}")).await[0]
}

#[tokio::test]
async fn a_reaction_takes_the_next_sequence_number_and_is_pushed_to_all_other_sockets() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room, message) = room_of_three(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let (mut phone, mut laptop) = (eve.connect().await, eve.connect().await);
    let ack = phone.acked("reactMessage", react(&message, "👍")).await;
    assert_eq!((&ack["roomId"], &ack["seq"]), (&json!(room), &json!(4)));
    let reacted = &ack["message"];
    assert_eq!(
        (&reacted["messageId"], &reacted["updatedSeq"], &reacted["editedAt"], &reacted["reactions"]),
        (&json!(message), &json!(4), &Value::Null, &json!([given("👍", true, &[&eve])]))
    );
    phone.has_nothing().await;
    let mut mine = Vec::new();
    for socket in [&mut anns, &mut bobs, &mut laptop] {
        let received = socket.receives("messageReaction").await;
        // The whole message, as its reader sees it.
        let mut whole = ack["message"].clone();
        whole["reactions"][0]["mine"] = json!(received["message"]["reactions"][0]["mine"] == true);
        assert_eq!(
            received,
            json!({"roomId": room, "seq": 4, "messageId": message, "userId": eve.user_id, "reaction": "👍",
                   "removed": false, "message": whole})
        );
        mine.push(whole["reactions"][0]["mine"] == true);
        socket.has_nothing().await;
    }
    assert_eq!(mine, [false, false, true]);
    assert_eq!(last_seq(&ann, room).await, 4);
    app.invariants_hold().await;
}

#[tokio::test]
async fn removing_a_reaction_takes_a_sequence_number_too() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room, message) = room_of_three(&app).await;
    for person in [&ann, &bob] {
        reacts(person, react(&message, "👍")).await;
    }
    let (mut bobs, mut eves) = (bob.connect().await, eve.connect().await);
    let ack = bobs.acked("reactMessage", take_back(&message, "👍")).await;
    assert_eq!((&ack["seq"], &ack["message"]["updatedSeq"]), (&json!(6), &json!(6)));
    assert_eq!(ack["message"]["reactions"], json!([given("👍", false, &[&ann])]));
    let received = eves.receives("messageReaction").await;
    assert_eq!(
        received,
        json!({"roomId": room, "seq": 6, "messageId": message, "userId": bob.user_id, "reaction": "👍",
               "removed": true, "message": ack["message"]})
    );
    let last = reacts(&ann, take_back(&message, "👍")).await;
    assert_eq!((&last["reactions"], &last["updatedSeq"]), (&json!([]), &json!(7)));
    assert_eq!((rows(&app, &message).await, read(&eve, &message).await["reactions"].clone()), (0, json!([])));
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_reaction_that_changes_nothing_takes_no_sequence_number_and_is_not_pushed() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room, message) = room_of_three(&app).await;
    let mut bobs = bob.connect().await;
    let first = bobs.acked("reactMessage", react(&message, "👍")).await;
    let mut anns = ann.connect().await;
    assert_eq!(bobs.acked("reactMessage", react(&message, "👍")).await, first);
    let explicit = json!({"messageId": message, "reaction": "👍", "remove": false, "userId": null});
    assert_eq!(bobs.acked("reactMessage", explicit).await, first);
    assert_eq!(bobs.acked("reactMessage", take_back(&message, "👎")).await, first);
    // Nobody can remove the reaction of another user.
    let eves = reacts(&eve, take_back(&message, "👍")).await;
    assert_eq!((&eves["updatedSeq"], &eves["reactions"]), (&json!(4), &json!([given("👍", false, &[&bob])])));
    anns.has_nothing().await;
    assert_eq!(last_seq(&ann, room).await, 4);
    app.invariants_hold().await;
}

#[tokio::test]
async fn every_message_is_read_with_its_reactions_and_marks_the_readers_own() {
    let app = TestApp::start().await;
    let (people, group, _) = crowd(&app, 3).await;
    let [ann, bob, eve] = people.as_slice() else { panic!() };
    let draft = json!({"roomId": group, "content": "hello", "clientMessageId": "k1"});
    let sent = ann.post("/api/messages", draft.clone()).await.created();
    let message = sent["message"]["messageId"].as_str().unwrap();
    reacts(bob, react(message, "👍")).await;
    reacts(ann, react(message, "👍")).await;
    reacts(bob, react(message, "🎉")).await;
    for (person, up, party) in [(ann, true, false), (bob, true, true), (eve, false, false)] {
        let expected = json!([given("👍", up, &[bob, ann]), given("🎉", party, &[bob])]);
        let cursor = json!({"rooms": {group.to_string(): 4}});
        let mut socket = person.connect().await;
        let changes = |answer: &Value| answer["rooms"][group.to_string()]["messages"].clone();
        let by_frame = socket.ask("sync", cursor.clone()).await["data"].clone();
        let read = [
            read(person, message).await,
            person.get(&format!("/groups/{group}/messages?limit=1")).await.ok()["messages"][0].clone(),
            person.get("/chats").await.ok()["data"][0]["lastMessage"].clone(),
            changes(&person.post("/api/sync", cursor).await.ok())[0].clone(),
            changes(&by_frame)[0].clone(),
        ];
        for (place, message) in read.iter().enumerate() {
            assert_eq!(message["reactions"], expected, "place {place} for {}", person.user_id);
            assert_eq!(message["updatedSeq"], 5, "place {place}");
        }
        let none = json!({"rooms": {group.to_string(): 5}});
        assert_eq!(changes(&person.post("/api/sync", none).await.ok()), json!([]));
    }
    // The response to a request or frame shows them too.
    let anns = json!([given("👍", true, &[bob, ann]), given("🎉", false, &[bob])]);
    let again = ann.post("/api/messages", draft.clone()).await.ok();
    assert_eq!(again["message"]["reactions"], anns);
    let mut socket = ann.connect().await;
    assert_eq!(socket.acked("sendMessage", draft).await["message"]["reactions"], anns);
    let edited = ann.patch(&format!("/api/messages/{message}"), json!({"content": "hi"})).await.ok();
    assert_eq!(edited["message"]["reactions"], anns);
}

#[tokio::test]
async fn the_push_of_an_edit_marks_each_receivers_own_reactions() {
    let app = TestApp::start().await;
    let (ann, bob, eve, _, message) = room_of_three(&app).await;
    reacts(&ann, react(&message, "👍")).await;
    reacts(&eve, react(&message, "👍")).await;
    reacts(&eve, react(&message, "\"")).await;
    let mut sockets = [ann.connect().await, ann.connect().await, bob.connect().await, eve.connect().await];
    let mut bobs = bob.connect().await;
    bobs.acked("editMessage", json!({"messageId": message, "content": "hello all"})).await;
    let expected = [(true, false), (true, false), (false, false), (true, true)];
    for (socket, (up, quote)) in sockets.iter_mut().zip(expected) {
        let received = socket.receives("messageEdited").await;
        let expected = json!([given("👍", up, &[&ann, &eve]), given("\"", quote, &[&eve])]);
        assert_eq!((&received["message"]["reactions"], &received["seq"]), (&expected, &json!(7)));
        socket.has_nothing().await;
    }
    bobs.has_nothing().await;
}

#[tokio::test]
async fn reactions_are_listed_in_the_order_they_were_first_given() {
    let app = TestApp::start().await;
    let (ann, bob, eve, _, message) = room_of_three(&app).await;
    for (person, reaction) in [(&eve, "z"), (&ann, "🎉"), (&bob, "a"), (&bob, "z"), (&ann, "a")] {
        reacts(person, react(&message, reaction)).await;
    }
    let seen = json!([
        given("z", true, &[&eve, &bob]),
        given("🎉", false, &[&ann]),
        given("a", true, &[&bob, &ann])
    ]);
    assert_eq!(read(&bob, &message).await["reactions"], seen);
    // A reaction keeps its place as long as somebody has given it.
    reacts(&eve, take_back(&message, "z")).await;
    reacts(&ann, take_back(&message, "🎉")).await;
    reacts(&ann, react(&message, "🎉")).await;
    reacts(&eve, react(&message, "z")).await;
    let seen = json!([
        given("z", true, &[&bob, &eve]),
        given("a", true, &[&bob, &ann]),
        given("🎉", false, &[&ann])
    ]);
    assert_eq!(read(&bob, &message).await["reactions"], seen);
    app.invariants_hold().await;
}

#[tokio::test]
async fn everybody_who_reacted_is_counted_and_the_first_ten_are_named() {
    let app = TestApp::start().await;
    let (people, _, message) = crowd(&app, 13).await;
    for person in &people {
        reacts(person, react(&message, "👍")).await;
    }
    let shown = async |asker: &Person| read(asker, &message).await["reactions"][0].clone();
    let named = |people: &[&Person]| people.iter().map(|person| json!(person.user_id)).collect::<Value>();
    let all: Vec<&Person> = people.iter().collect();
    for asker in [&people[0], &people[12]] {
        let seen = shown(asker).await;
        assert_eq!(
            (&seen["count"], &seen["mine"], &seen["userIds"]),
            (&json!(13), &json!(true), &named(&all[..10]))
        );
    }
    // The eleventh user moves up when one of the ten removes their reaction, but not when the twelfth does.
    let seen = reacts(&people[11], take_back(&message, "👍")).await["reactions"][0].clone();
    assert_eq!(
        (&seen["count"], &seen["mine"], &seen["userIds"]),
        (&json!(12), &json!(false), &named(&all[..10]))
    );
    reacts(&people[3], take_back(&message, "👍")).await;
    let left = [&all[..3], &all[4..11]].concat();
    let seen = shown(&people[3]).await;
    assert_eq!((&seen["count"], &seen["mine"], &seen["userIds"]), (&json!(11), &json!(false), &named(&left)));
    // A user who reacts again is the last one.
    reacts(&people[3], react(&message, "👍")).await;
    let seen = shown(&people[3]).await;
    assert_eq!((&seen["count"], &seen["mine"], &seen["userIds"]), (&json!(12), &json!(true), &named(&left)));
    app.invariants_hold().await;
}

#[tokio::test]
async fn reactions_that_look_different_are_different() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let different = ["👍", "👍🏽", "❤", "x", "X", "é", "e", "e\u{300}", "\"", "\\", "'", "%", "ß", "ſ", "s"];
    let mut bobs = bob.connect().await;
    for reaction in different {
        bobs.acked("reactMessage", react(&message, reaction)).await;
    }
    let expected: Value = different.iter().map(|reaction| given(reaction, true, &[&bob])).collect();
    assert_eq!(read(&bob, &message).await["reactions"], expected);
    let others: Value = different.iter().map(|reaction| given(reaction, false, &[&bob])).collect();
    assert_eq!(read(&ann, &message).await["reactions"], others);
    for reaction in different {
        bobs.acked("reactMessage", take_back(&message, reaction)).await;
    }
    assert_eq!(last_seq(&ann, room).await, 3 + 2 * different.len() as u64);
    assert_eq!(rows(&app, &message).await, 0);
}

#[tokio::test]
async fn a_reaction_is_one_visible_character_of_at_most_32_bytes() {
    let app = TestApp::start().await;
    let (_, bob, _, room, message) = room_of_three(&app).await;
    let mut bobs = bob.connect().await;
    let accents = |count| json!(format!("e{}", "\u{301}".repeat(count)));
    for good in [json!("👨‍👩‍👧‍👦"), json!("🇩🇪"), json!("🏴󠁧󠁢󠁥󠁮󠁧󠁿"), json!("1️⃣"), accents(31), json!("👩🏽‍❤️‍💋‍👨🏿")]
    {
        bobs.acked("reactMessage", json!({"messageId": message, "reaction": good})).await;
    }
    let bad = ["", " ", "👍👍", "ok", "👍 ", "🇩🇪🇫🇷", "\n", "\u{7}"].map(Value::from);
    for bad in bad.into_iter().chain([accents(32), json!(1), json!(["👍"]), json!(null)]) {
        for remove in [false, true] {
            let data = json!({"messageId": message, "reaction": bad, "remove": remove});
            let problem = bobs.refused("reactMessage", data, "invalid_request").await;
            let wrong = problem["errors"].as_array().unwrap();
            assert_eq!((wrong.len(), &wrong[0]["field"]), (1, &json!("reaction")), "{bad}");
        }
    }
    assert_eq!(last_seq(&bob, room).await, 3 + 6, "a refused request takes no sequence number");
}

#[tokio::test]
async fn a_reaction_can_be_seen() {
    let app = TestApp::start().await;
    let (_, bob, _, room, message) = room_of_three(&app).await;
    let mut bobs = bob.connect().await;
    let alone =
        ["\u{200b}", "\u{200d}", "\u{fe0f}", "\u{3164}", "\u{115f}", "\u{2800}", "\u{a0}", "\u{e0041}"];
    let beside = ["👍\u{200d}", "👍\u{e0041}", "👍\u{fe0f}\u{fe0f}", "x\u{fe0f}", "x\u{200d}", "x\u{34f}"];
    for unseen in alone.into_iter().chain(beside) {
        let problem = bobs.refused("reactMessage", react(&message, unseen), "invalid_request").await;
        assert_eq!(problem["errors"][0]["field"], "reaction", "{unseen:?}");
    }
    assert_eq!(last_seq(&bob, room).await, 3);
}

/// Keyboards differ in whether they send the selector of the picture with an emoji, and in how they compose letters.
#[tokio::test]
async fn spellings_that_look_the_same_are_one_reaction_shown_as_it_was_first_given() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room, message) = room_of_three(&app).await;
    let mut anns = ann.connect().await;
    for (first, second) in
        [("👍", "👍\u{fe0f}"), ("❤\u{fe0f}", "❤"), ("e\u{301}", "\u{e9}"), ("☺\u{fe0e}", "☺\u{fe0f}")]
    {
        let before = last_seq(&ann, room).await;
        reacts(&bob, react(&message, first)).await;
        let shown = reacts(&eve, react(&message, second)).await;
        assert_eq!(shown["reactions"], json!([given(first, true, &[&bob, &eve])]), "{first:?}");
        // Given again in the other spelling, it changes nothing.
        assert_eq!(reacts(&bob, react(&message, second)).await["updatedSeq"], before + 2);
        let shown = reacts(&bob, take_back(&message, second)).await;
        assert_eq!(shown["reactions"], json!([given(first, false, &[&eve])]));
        assert_eq!(reacts(&eve, take_back(&message, first)).await["reactions"], json!([]));
        for removed in [false, false, true, true] {
            let pushed = anns.receives("messageReaction").await;
            assert_eq!((&pushed["reaction"], &pushed["removed"]), (&json!(first), &json!(removed)));
        }
    }
    assert_eq!(rows(&app, &message).await, 0);
    app.invariants_hold().await;
}

/// A message may have both spellings from before they were one.
#[tokio::test]
async fn a_reaction_that_was_stored_in_two_spellings_can_be_taken_back_in_each() {
    let app = TestApp::start().await;
    let (ann, bob, _, _, message) = room_of_three(&app).await;
    let (room_id, seq) = message.split_once('-').unwrap();
    for (number, reaction) in ["👍", "👍\u{fe0f}"].into_iter().enumerate() {
        app.run(
            "INSERT INTO reactions (room_id, seq, user_id, reaction, given_seq) VALUES (?, ?, ?, ?, ?)",
            (room_id, seq, &bob.user_id, reaction, number),
        )
        .await;
    }
    let stored = json!([["👍", 1, [bob.user_id]], ["👍\u{fe0f}", 1, [bob.user_id]]]).to_string();
    app.run("UPDATE messages SET reactions = ? WHERE room_id = ? AND seq = ?", (stored, room_id, seq)).await;
    let left = reacts(&bob, take_back(&message, "👍\u{fe0f}")).await;
    assert_eq!(left["reactions"], json!([given("👍", true, &[&bob])]));
    assert_eq!(reacts(&bob, take_back(&message, "👍\u{fe0f}")).await["reactions"], json!([]));
    assert_eq!(read(&ann, &message).await["reactions"], json!([]));
    app.invariants_hold().await;
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together() {
    let app = TestApp::start().await;
    let mut socket = app.user("ann").await.connect().await;
    let all = json!({"messageId": {}, "reaction": "ok", "remove": 1, "userId": []});
    for (data, wrong) in [
        (all, &["messageId", "reaction", "remove", "userId"][..]),
        (json!({}), &["messageId", "reaction"]),
        (json!({"messageId": "1-1", "reaction": "👍", "remove": "true"}), &["remove"]),
    ] {
        let problem = socket.refused("reactMessage", data.clone(), "invalid_request").await;
        let named: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|one| &one["field"]).collect();
        assert_eq!(named, wrong, "{data}");
    }
}

#[tokio::test]
async fn a_message_has_at_most_twenty_different_reactions() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let twenty: Vec<String> = ('a'..='t').map(String::from).collect();
    for reaction in &twenty {
        answer(&mut bobs, react(&message, reaction)).await;
    }
    for socket in [&mut anns, &mut bobs] {
        let problem = answer(socket, react(&message, "👍")).await["data"].clone();
        assert_eq!(
            (&problem["code"], &problem["errors"][0]["field"]),
            (&json!("invalid_request"), &json!("reaction"))
        );
    }
    assert_eq!(last_seq(&ann, room).await, 23, "a refused request takes no sequence number");
    // An existing reaction does not count as another one, and one that nobody gives any more makes room.
    assert_eq!(answer(&mut anns, react(&message, "a")).await["event"], "ack");
    answer(&mut bobs, take_back(&message, "a")).await;
    assert_eq!(answer(&mut bobs, react(&message, "👍")).await["event"], "error");
    answer(&mut anns, take_back(&message, "a")).await;
    assert_eq!(answer(&mut anns, react(&message, "👍")).await["event"], "ack");
    let shown = read(&ann, &message).await["reactions"].as_array().unwrap().len();
    assert_eq!(shown, 20);
    app.invariants_hold().await;
}

#[tokio::test]
async fn nobody_can_react_in_the_name_of_another_user() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let mut bobs = bob.connect().await;
    let in_name = |user_id: &str| json!({"messageId": message, "reaction": "👍", "userId": user_id});
    bobs.refused("reactMessage", in_name(&ann.user_id), "identity_mismatch").await;
    assert_eq!(last_seq(&ann, room).await, 3);
    let ack = bobs.acked("reactMessage", in_name(&bob.user_id)).await;
    assert_eq!(ack["message"]["reactions"], json!([given("👍", true, &[&bob])]));
}

#[tokio::test]
async fn non_members_cannot_react_and_learn_nothing_about_the_message() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let (max, zoe) = (app.prime("max").await, app.foreigner("zoe").await);
    reacts(&bob, react(&message, "👍")).await;
    bob.leaves(room).await.no_content();
    let (nothing, nowhere) = (format!("{room}-99"), "999999999-1".to_owned());
    for (person, id, code) in [
        (&bob, json!(message), "not_a_member"),
        (&max, json!(message), "not_a_member"),
        (&max, json!(nothing), "not_a_member"),
        (&ann, json!(nothing), "message_not_found"),
        (&zoe, json!(message), "message_not_found"),
        (&max, json!(nowhere), "message_not_found"),
        (&ann, json!("message-123"), "message_not_found"),
        (&ann, json!(7), "message_not_found"),
        (&ann, json!(format!("{room}-99999999999999999999")), "message_not_found"),
    ] {
        let mut socket = person.connect().await;
        for remove in [false, true] {
            let data = json!({"messageId": id, "reaction": "👍", "remove": remove});
            socket.refused("reactMessage", data, code).await;
        }
    }
    assert_eq!(last_seq(&ann, room).await, 5, "a refused request takes no sequence number");
    // A user who has left is still named, and can remove the reaction after joining again.
    assert_eq!(read(&ann, &message).await["reactions"], json!([given("👍", false, &[&bob])]));
    bob.joins(room).await.created();
    assert_eq!(read(&bob, &message).await["reactions"][0]["mine"], true);
    assert_eq!(reacts(&bob, take_back(&message, "👍")).await["reactions"], json!([]));
    app.invariants_hold().await;
}

#[tokio::test]
async fn nobody_can_react_to_a_notice() {
    let app = TestApp::start().await;
    let (ann, _, _, room, _) = room_of_three(&app).await;
    let problem = ann
        .connect()
        .await
        .refused("reactMessage", react(&format!("{room}-1"), "👍"), "invalid_request")
        .await;
    assert_eq!(problem["errors"][0]["field"], "messageId");
    assert_eq!(last_seq(&ann, room).await, 3);
}

#[tokio::test]
async fn a_deleted_message_has_no_reactions_and_accepts_none() {
    let app = TestApp::start().await;
    let (ann, bob, eve, room, message) = room_of_three(&app).await;
    let other = said(&bob, room, "another").await;
    for person in [&ann, &eve] {
        reacts(person, react(&message, "👍")).await;
    }
    reacts(&ann, react(&other, "👍")).await;
    let deleted = bob.delete(&format!("/api/messages/{message}")).await.ok();
    assert_eq!(deleted["message"]["reactions"], json!([]));
    assert_eq!(read(&ann, &message).await, deleted["message"]);
    assert_eq!((rows(&app, &message).await, rows(&app, &other).await), (0, 1));
    let mut anns = ann.connect().await;
    for data in [react(&message, "👍"), take_back(&message, "👍")] {
        anns.refused("reactMessage", data, "message_not_found").await;
    }
    assert_eq!(read(&ann, &other).await["reactions"], json!([given("👍", true, &[&ann])]));
    assert_eq!(last_seq(&ann, room).await, 8);
    app.invariants_hold().await;
}

#[tokio::test]
async fn deleting_a_room_deletes_its_reactions() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let kept_room = ann.opens_a_room().await;
    let kept = said(&ann, kept_room, "stays").await;
    reacts(&bob, react(&message, "👍")).await;
    reacts(&ann, react(&kept, "👍")).await;
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    assert_eq!((rows(&app, &message).await, rows(&app, &kept).await), (0, 1));
    bob.connect().await.refused("reactMessage", react(&message, "👍"), "message_not_found").await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn users_can_react_in_direct_chats_too() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let sent = ann.writes_to(&bob, "hello").await.created();
    let message = sent["message"]["messageId"].as_str().unwrap();
    let mut anns = ann.connect().await;
    reacts(&bob, react(message, "❤️")).await;
    assert_eq!(anns.receives("messageReaction").await["reaction"], "❤️");
    assert_eq!(read(&ann, message).await["reactions"], json!([given("❤️", false, &[&bob])]));
}

#[tokio::test]
async fn a_reaction_does_not_change_the_unread_count_or_the_read_position() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let sent = ann.writes_to(&bob, "hello").await.created();
    let message = sent["message"]["messageId"].as_str().unwrap();
    let unread = async |person: &Person| person.get("/chats").await.ok()["data"][0]["unread"].clone();
    assert_eq!((unread(&ann).await, unread(&bob).await), (json!(0), json!(1)));
    reacts(&bob, react(message, "👍")).await;
    assert_eq!((unread(&ann).await, unread(&bob).await), (json!(0), json!(1)));
}

#[tokio::test]
async fn a_socket_whose_session_has_ended_cannot_react() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let mut socket = bob.connect().await;
    app.run("UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?", (&bob.user_id,)).await;
    socket.refused("reactMessage", react(&message, "👍"), "unauthenticated").await;
    assert_eq!(socket.closed().await, 1000);
    assert_eq!(last_seq(&ann, room).await, 3);
}

#[tokio::test]
async fn pages_and_frames_stay_within_their_sizes_however_many_reactions_there_are() {
    let app = TestApp::start().await;
    let (ann, _, _, room, _) = room_of_three(&app).await;
    let user_ids: Vec<String> = (0..10).map(|number| format!("{number}{}", "x".repeat(63))).collect();
    let reactions: Value =
        ('a'..='t').map(|one| json!([format!("{one}{}", "\u{301}".repeat(31)), 1000, user_ids])).collect();
    app.run(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, reactions, created_at)
         WITH RECURSIVE many (n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM many WHERE n < 203)
         SELECT ?, n, n, 'text', ?, REPEAT('\"', 100), ?, UTC_TIMESTAMP(3) FROM many",
        (room, &ann.user_id, reactions.to_string()),
    )
    .await;
    app.run("UPDATE rooms SET last_seq = 203 WHERE id = ?", (room,)).await;
    let mut socket = ann.connect().await;
    let (mut after, mut cursor, mut frames) = (0, json!(0), 0);
    let paging = async {
        loop {
            let page = ann.get(&format!("/chats/{room}?after={after}&limit=200")).await.ok();
            assert!(page.to_string().len() < 2_000_000);
            after = page["messages"].as_array().unwrap().last().unwrap()["seq"].as_u64().unwrap();
            if page["hasMore"] == false {
                break;
            }
        }
        loop {
            let answer = socket.ask("sync", json!({"rooms": {room.to_string(): cursor}})).await;
            assert!(answer.to_string().len() < 100_000);
            let changes = &answer["data"]["rooms"][room.to_string()];
            cursor = changes["nextSeq"].clone();
            frames += 1;
            if changes["hasMore"] == false {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), paging).await.expect("the pages do not end");
    assert_eq!((after, cursor), (203, json!(203)));
    assert!(frames > 20);
}

/// The sequence numbers of these answers.
fn numbers(answers: &[Value]) -> BTreeSet<u64> {
    answers.iter().map(|answer| answer["data"]["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn thirty_concurrent_reactions_are_all_counted() {
    let app = TestApp::start().await;
    let (people, group, message) = crowd(&app, 31).await;
    let mut listener = people[30].connect().await;
    let mut sockets = join_all(people[..30].iter().map(Person::connect)).await;
    let acts = sockets.iter_mut().map(|socket| answer(socket, react(&message, "👍")));
    let answers = join_all(acts).await;
    assert_eq!(numbers(&answers), (2..=31).collect());
    let shown = read(&people[30], &message).await;
    let reaction = &shown["reactions"][0];
    assert_eq!((&reaction["count"], &shown["updatedSeq"]), (&json!(30), &json!(31)));
    // Each reaction is pushed once, and the ten users who are named are the first by sequence number.
    let mut received = Vec::new();
    for _ in 0..30 {
        received.push(listener.receives("messageReaction").await);
    }
    listener.has_nothing().await;
    received.sort_by_key(|received| received["seq"].as_u64().unwrap());
    let first: Value = received[..10].iter().map(|received| received["userId"].clone()).collect();
    assert_eq!(reaction["userIds"], first);
    assert_eq!(last_seq(&people[30], group).await, 31);
    app.invariants_hold().await;
    // All remove it concurrently, and each gives another one.
    let acts = sockets.iter_mut().enumerate().map(async |(number, socket)| {
        let other = ["🎉", "❤️"][number % 2];
        let back = answer(socket, take_back(&message, "👍")).await;
        [back, answer(socket, react(&message, other)).await]
    });
    let answers = join_all(acts).await.concat();
    assert_eq!(numbers(&answers), (32..=91).collect());
    let shown = read(&people[30], &message).await["reactions"].clone();
    let mut counts: Vec<_> = shown.as_array().unwrap().iter().map(|given| &given["count"]).collect();
    counts.sort_by_key(|count| count.as_u64());
    assert_eq!(counts, [15, 15]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_user_who_reacts_eight_times_concurrently_is_counted_once() {
    let app = TestApp::start().await;
    let (ann, bob, _, room, message) = room_of_three(&app).await;
    let mut anns = ann.connect().await;
    for (data, removed, number) in [(react(&message, "👍"), false, 4), (take_back(&message, "👍"), true, 5)]
    {
        let mut sockets = join_all((0..8).map(|_| bob.connect())).await;
        let answers = join_all(sockets.iter_mut().map(|socket| answer(socket, data.clone()))).await;
        assert_eq!(numbers(&answers), BTreeSet::from([number]));
        let received = anns.receives("messageReaction").await;
        assert_eq!((&received["seq"], &received["removed"]), (&json!(number), &json!(removed)));
        anns.has_nothing().await;
        let count = if removed { json!(null) } else { json!(1) };
        assert_eq!(read(&ann, &message).await["reactions"][0]["count"], count);
        for socket in sockets {
            socket.close().await;
        }
    }
    assert_eq!(last_seq(&ann, room).await, 5);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_reaction_that_races_with_the_deletion_of_its_message_comes_first_or_is_refused() {
    let app = TestApp::start().await;
    let (people, group, _) = crowd(&app, 12).await;
    for _ in 0..3 {
        let message = said(&people[0], group, "hello").await;
        let before = last_seq(&people[0], group).await;
        let mut sockets = join_all(people.iter().map(Person::connect)).await;
        let acts = join_all(sockets.iter_mut().map(|socket| answer(socket, react(&message, "👍"))));
        let path = format!("/api/messages/{message}");
        let (answers, deleted) = tokio::join!(acts, people[0].delete(&path));
        let deleted = deleted.ok()["message"].clone();
        let end = deleted["updatedSeq"].as_u64().unwrap();
        let (done, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer["event"] == "ack");
        assert_eq!(numbers(&done), (before + 1..end).collect());
        for answer in refused {
            assert_eq!(answer["data"]["code"], "message_not_found", "{answer}");
        }
        assert_eq!(read(&people[1], &message).await, deleted);
        assert_eq!((rows(&app, &message).await, last_seq(&people[0], group).await), (0, end));
        app.invariants_hold().await;
        for socket in sockets {
            socket.close().await;
        }
    }
}

#[tokio::test]
async fn a_message_accepts_twenty_of_thirty_different_concurrent_reactions() {
    let app = TestApp::start().await;
    let (people, group, message) = crowd(&app, 30).await;
    let mut sockets = join_all(people.iter().map(Person::connect)).await;
    let acts = sockets.iter_mut().enumerate().map(|(number, socket)| {
        let reaction = char::from_u32('a' as u32 + number as u32 % 26 + if number > 25 { 500 } else { 0 });
        answer(socket, react(&message, &reaction.unwrap().to_string()))
    });
    let answers = join_all(acts).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer["event"] == "ack");
    assert_eq!((done.len(), refused.len()), (20, 10));
    assert_eq!(numbers(&done), (2..=21).collect());
    for answer in refused {
        assert_eq!(answer["data"]["code"], "invalid_request", "{answer}");
    }
    assert_eq!(read(&people[0], &message).await["reactions"].as_array().unwrap().len(), 20);
    assert_eq!((rows(&app, &message).await, last_seq(&people[0], group).await), (20, 21));
    app.invariants_hold().await;
}
