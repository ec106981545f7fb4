//! Concurrent requests: two users have one chat, and no message in it is lost.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use mysql_async::TxOpts;
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::harness::{Person, TestApp};

#[tokio::test]
async fn sixteen_concurrent_first_messages_create_one_chat_and_none_is_lost() {
    let app = TestApp::start().await;
    for round in 0..4 {
        let (ann, bob) = (app.user(&format!("ann{round}")).await, app.user(&format!("bob{round}")).await);
        let names: Vec<String> = (0..16).map(|number| number.to_string()).collect();
        let answers = join_all(names.iter().enumerate().map(|(number, content)| match number % 2 {
            0 => ann.writes_to(&bob, content),
            _ => bob.writes_to(&ann, content),
        }))
        .await;
        let (mut chats, mut seqs) = (BTreeSet::new(), Vec::new());
        for answer in answers {
            let sent = answer.created();
            chats.insert(sent["chatId"].as_u64().unwrap());
            seqs.push(sent["message"]["seq"].as_u64().unwrap());
        }
        seqs.sort_unstable();
        assert_eq!((chats.len(), seqs), (1, (1..=16).collect()));
        let history = ann.reads(*chats.first().unwrap()).await;
        let said: BTreeSet<String> = history.into_iter().map(|(_, content)| content).collect();
        assert_eq!(said, names.into_iter().collect());
        let rooms: Vec<u64> = app
            .rows(&format!(
                "SELECT COUNT(*) FROM room_members WHERE user_id IN ('{}', '{}')",
                ann.user_id, bob.user_id
            ))
            .await;
        assert_eq!(rooms, [2], "no other room was created");
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn one_of_eight_concurrent_first_messages_with_one_client_message_id_is_stored_and_pushed() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut bobs = bob.connect().await;
    let letter = json!({"userId": bob.user_id, "content": "once", "clientMessageId": "k1"});
    let answers = join_all((0..8).map(|_| ann.post("/chats/send-message", letter.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers {
        assert!([200, 201].contains(&answer.status), "{}", answer.json);
        assert_eq!(answer.json["message"]["seq"], 1);
    }
    bobs.receives("receiveMessage").await;
    bobs.has_nothing().await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn direct_messages_between_everybody_amid_joins_and_sends_meet_no_deadlock() {
    let app = TestApp::start().await;
    let names: Vec<String> = (0..6).map(|number| format!("user{number}")).collect();
    let people: Vec<Person> = join_all(names.iter().map(|name| app.prime(name))).await;
    let room = people[0].opens_a_room().await;
    let writes = people.iter().flat_map(|writer| {
        let others = people.iter().filter(|other| other.user_id != writer.user_id);
        others.map(async |other| drop(writer.writes_to(other, "hello").await.created()))
    });
    let groups = people.iter().map(async |maker| {
        let others: Vec<&Person> = people.iter().filter(|other| other.user_id != maker.user_id).collect();
        maker.groups(&others).await;
    });
    let in_and_out = people[1..].iter().map(async |person| {
        for _ in 0..4 {
            person.joins(room).await.created();
            person.says(room, "here I am").await.created();
            person.leaves(room).await.no_content();
        }
    });
    tokio::join!(join_all(writes), join_all(groups), join_all(in_and_out));
    for person in &people {
        let list = person.get("/chats?pageSize=100").await.ok();
        let kinds = |kind: &str| {
            list["data"].as_array().unwrap().iter().filter(|chat| chat["room"]["kind"] == kind).count()
        };
        assert_eq!((kinds("direct"), kinds("group")), (5, 6));
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_first_message_that_finds_the_chat_just_created_is_counted_once() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "2/600")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut holder = app.database().await;
    let mut held = holder.start_transaction(TxOpts::default()).await.unwrap();
    held.query_drop("SELECT user_id FROM users FOR UPDATE").await.unwrap();
    // Creates the chat as Bob's request would if it got the locks first.
    let make = async {
        app.until_waiting("FROM users FORCE INDEX").await;
        for sql in [
            "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, created_by, created_at, updated_at)
             VALUES (1, 'direct', 'bob & ann', 2, 2, 'bob', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             SELECT r.id, u.user_id, IF(u.user_id = 'bob', 'owner', 'member'), 0, UTC_TIMESTAMP(3), 0
             FROM rooms r JOIN users u",
            "INSERT INTO direct_chats (lesser_id, greater_id, room_id) SELECT 'ann', 'bob', id FROM rooms",
        ] {
            held.query_drop(sql).await.unwrap();
        }
        held.commit().await.unwrap();
    };
    let (sent, ()) = tokio::join!(ann.writes_to(&bob, "one"), make);
    sent.created();
    ann.writes_to(&bob, "two").await.created();
    ann.writes_to(&bob, "three").await.refused(429, "rate_limited");
    app.invariants_hold().await;
}
