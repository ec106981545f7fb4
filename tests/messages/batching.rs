//! Messages that arrive together are stored together: docs/contract.md, "Order and numbers". Each is decided by itself
//! all the same.

use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::harness::{Answer, Person, Server, Socket, Statements, TestApp};

/// A room of three, with the sockets of all.
struct Trio {
    people: Vec<Person>,
    sockets: Vec<Socket>,
    room: u64,
}

impl Trio {
    async fn new(app: &TestApp) -> Self {
        let people = vec![app.prime("ann").await, app.user("bob").await, app.user("cid").await];
        let room = people[0].opens_a_room().await;
        for member in &people[1..] {
            member.joins(room).await.created();
        }
        let sockets = join_all(people.iter().map(Person::connect)).await;
        Self { people, sockets, room }
    }

    /// The number of the room's last message.
    async fn last(&self) -> u64 {
        self.people[0].reads(self.room).await.last().unwrap().0
    }
}

/// A server, and the address of its metrics.
async fn measured(app: &TestApp) -> (Server, String) {
    let metrics_at = format!("127.0.0.1:{}", Server::free_port().await);
    (Server::start(app, &[("METRICS_LISTEN", &metrics_at)]).await, metrics_at)
}

#[tokio::test]
async fn two_hundred_messages_sent_at_once_get_two_hundred_numbers_and_reach_everybody_once() {
    let app = TestApp::start().await;
    let mut trio = Trio::new(&app).await;
    let first = trio.last().await + 1;
    let sends = (0..200).map(|number| trio.people[number % 3].says(trio.room, "hello"));
    let answers = join_all(sends).await;
    let mut numbers: Vec<u64> =
        answers.into_iter().map(|answer| answer.created()["message"]["seq"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (first..first + 200).collect::<Vec<_>>());
    for socket in &mut trio.sockets {
        let pushes = socket.rest().await;
        let pushes = pushes.iter().filter(|frame| frame["event"] == "receiveMessage");
        let mut pushed: Vec<u64> = pushes.map(|frame| frame["data"]["seq"].as_u64().unwrap()).collect();
        pushed.sort_unstable();
        assert_eq!(pushed, numbers);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn messages_sent_at_once_to_a_hundred_rooms_are_each_the_first_of_their_room() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let mut rooms = Vec::new();
    for _ in 0..100 {
        rooms.push(ann.opens_a_room().await);
    }
    let answers = join_all(rooms.iter().map(|room| ann.says(*room, "hello"))).await;
    for (answer, room) in answers.into_iter().zip(&rooms) {
        assert_eq!(answer.created()["message"]["messageId"], format!("{room}-1"));
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn messages_that_arrive_together_take_few_statements() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let trio = Trio::new(&app).await;
    let ann = &trio.people[0];
    ann.says(trio.room, "opens the window of the limit").await.created();
    let wait = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", ann.user_id);
    let mut holder = app.holding(&wait).await;
    statements.take();
    let mut sockets = Vec::new();
    for _ in 0..9 {
        sockets.push(trio.people[1].connect().await);
    }
    statements.take();
    // The first message waits for its sender's row, which its foreign key locks. The others arrive meanwhile.
    let first = async {
        let first = ann.says(trio.room, "first");
        let rest = async {
            app.until_waiting("INSERT INTO messages").await;
            for socket in &mut sockets {
                socket.send("sendMessage", json!({"roomId": trio.room, "content": "hello"})).await;
            }
            holder.query_drop("COMMIT").await.unwrap();
        };
        tokio::join!(first, rest).0.created()
    };
    first.await;
    for socket in &mut sockets {
        while socket.receive().await["event"] != "ack" {}
    }
    let taken = statements.take();
    let inserts = taken.iter().filter(|statement| statement.contains("INSERT INTO messages")).count();
    assert!((2..=6).contains(&inserts), "ten messages took {inserts} inserts");
}

#[tokio::test]
async fn a_refused_message_does_not_use_up_its_client_message_id_for_those_stored_with_it() {
    let app = TestApp::start().await;
    let mut trio = Trio::new(&app).await;
    let (ann, bob, room) = (&trio.people[0], &trio.people[1], trio.room);
    bob.says(room, "opens his window").await.created();
    trio.sockets[1].rest().await;
    let wait = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", ann.user_id);
    let mut holder = app.holding(&wait).await;
    let together = async {
        app.until_waiting("INSERT INTO messages").await;
        let draft = json!({"roomId": room, "content": "hello", "clientMessageId": "k1"});
        let mut replying = draft.clone();
        replying["replyTo"] = json!(format!("{room}-99999"));
        trio.sockets[1].send("sendMessage", replying).await;
        trio.sockets[1].send("sendMessage", draft).await;
        holder.query_drop("COMMIT").await.unwrap();
    };
    tokio::join!(ann.says(room, "first"), together).0.created();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let frame = trio.sockets[1].receive().await;
        match frame["event"].as_str() {
            Some("ack") => answers.push("ack".to_owned()),
            Some("error") => answers.push(frame["data"]["code"].to_string()),
            _ => {}
        }
    }
    answers.sort_unstable();
    assert_eq!(answers, ["\"invalid_request\"", "ack"]);
}

#[tokio::test]
async fn rooms_that_are_locked_do_not_hold_up_messages_to_others() {
    let app = TestApp::start().await;
    let (ann, bob, cid) = (app.prime("ann").await, app.prime("bob").await, app.prime("cid").await);
    // A lock of the others' members reaches to the next room.
    let free = bob.opens_a_room().await;
    let (anns, cids) = (ann.opens_a_room().await, cid.opens_a_room().await);
    // A removal, say, locks members too. A scan of a small index would lock all its rows.
    let lock = |table: &str, column: &str| {
        format!("SELECT * FROM {table} FORCE INDEX (PRIMARY) WHERE {column} IN ({anns}, {cids}) FOR UPDATE")
    };
    let mut holder = app.holding(&lock("rooms", "id")).await;
    holder.query_drop(lock("room_members", "room_id")).await.unwrap();
    let waiting = join_all((0..20).flat_map(|_| [ann.says(anns, "waits"), cid.says(cids, "waits")]));
    let others = async {
        app.until_so_many_wait("FROM rooms FORCE INDEX (PRIMARY)", 2).await;
        for number in 1..=20 {
            let sent = bob.says(free, "meanwhile").await.created();
            assert_eq!(sent["message"]["seq"], number);
        }
        holder.query_drop("COMMIT").await.unwrap();
    };
    let (answers, ()) = tokio::join!(waiting, others);
    for answer in answers {
        answer.created();
    }
    assert_eq!((ann.reads(anns).await.len(), cid.reads(cids).await.len()), (20, 20));
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_message_that_the_database_refuses_does_not_touch_those_stored_with_it() {
    let app = TestApp::start().await;
    let trio = Trio::new(&app).await;
    let first = trio.last().await + 1;
    let mut database = app.database().await;
    database
        .query_drop(
            "CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW
             IF NEW.content = 'poison' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF",
        )
        .await
        .unwrap();
    let sends = (0..60).map(|number| {
        let content = if number % 20 == 7 { "poison" } else { "hello" };
        trio.people[number % 3].says(trio.room, content)
    });
    let answers = join_all(sends).await;
    database.query_drop("DROP TRIGGER refuse").await.unwrap();
    let refused = answers.iter().filter(|answer| answer.status == 500).count();
    let stored = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((refused, stored), (3, 57));
    assert_eq!(trio.last().await, first + 56);
    app.invariants_hold().await;
}

#[tokio::test]
async fn nobody_sends_after_a_logout_or_a_removal_that_comes_while_messages_wait() {
    let app = TestApp::start().await;
    let trio = Trio::new(&app).await;
    let dan = app.user("dan").await;
    dan.joins(trio.room).await.created();
    let (server, metrics_at) = measured(&app).await;
    let [ann, bob, cid, dan] =
        [&trio.people[0], &trio.people[1], &trio.people[2], &dan].map(|person| person.at(&server.url()));
    let mut bobs = server.connect(&bob).await;
    // Nobody's window of `MESSAGE_LIMIT` is opened while messages wait.
    for person in [&ann, &bob, &cid, &dan] {
        person.says(trio.room, "opens a window").await.created();
    }
    let before = trio.last().await;

    // Cid's message waits for his row, and the others' wait for the batch after it.
    let wait = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", cid.user_id);
    let mut holder = app.holding(&wait).await;
    let overtake = async {
        app.until_waiting("INSERT INTO messages").await;
        bobs.send("sendMessage", json!({"roomId": trio.room, "content": "too late"})).await;
        let late = async {
            let sends = [&bob, &dan].map(|person| person.says(trio.room, "too late"));
            let [bobs, dans] = <[Answer; 2]>::try_from(join_all(sends).await).unwrap();
            bobs.refused(401, "unauthenticated");
            dans.refused(403, "not_a_member");
        };
        let end = async {
            app.until_metric(&metrics_at, "coterie_messages_waiting 4").await;
            bob.post("/api/auth/logout", json!({})).await.no_content();
            let removed = async { ann.removes(trio.room, &dan).await.no_content() };
            let release = async {
                app.until_waiting("updated_at FROM rooms WHERE").await;
                holder.query_drop("COMMIT").await.unwrap();
            };
            tokio::join!(removed, release);
        };
        let in_time = async { ann.says(trio.room, "in time").await.created() };
        tokio::join!(late, in_time, end);
    };
    tokio::join!(cid.says(trio.room, "in time"), overtake).0.created();
    bobs.until_closed().await;
    let read = ann.reads(trio.room).await;
    assert!(!read.iter().any(|(_, content)| content == "too late"), "{read:?}");
    assert_eq!(read.last().unwrap().0, before + 3, "two messages, and the notice of the removal");
    app.invariants_hold().await;
}

#[tokio::test]
async fn messages_that_wait_for_a_locked_room_do_not_hold_up_a_logout() {
    let app = TestApp::start().await;
    let trio = Trio::new(&app).await;
    let busy = trio.people[0].opens_a_room().await;
    let (server, metrics_at) = measured(&app).await;
    let dan = app.user("dan").await.at(&server.url());
    dan.joins(trio.room).await.created();
    let [ann, bob, cid] = [0, 1, 2].map(|place| trio.people[place].at(&server.url()));
    for person in [&ann, &bob, &cid, &dan] {
        person.says(trio.room, "opens a window").await.created();
    }
    let room = format!("SELECT * FROM rooms FORCE INDEX (PRIMARY) WHERE id = {} FOR UPDATE", trio.room);

    // One message by itself.
    let mut holder = app.holding(&room).await;
    let logout = async {
        app.until_waiting("FROM rooms FORCE INDEX (PRIMARY)").await;
        dan.post("/api/auth/logout", json!({})).await.no_content();
        holder.query_drop("COMMIT").await.unwrap();
    };
    tokio::join!(dan.says(trio.room, "too late"), logout).0.refused(401, "unauthenticated");

    // Two that came while another was stored.
    let mut holder = app.holding(&room).await;
    let anns = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", ann.user_id);
    let mut holder_of_ann = app.holding(&anns).await;
    let two = async {
        app.until_waiting("INSERT INTO messages").await;
        let logout = async {
            app.until_metric(&metrics_at, "coterie_messages_waiting 2").await;
            holder_of_ann.query_drop("COMMIT").await.unwrap();
            app.until_waiting("JSON_TABLE").await;
            bob.post("/api/auth/logout", json!({})).await.no_content();
            holder.query_drop("COMMIT").await.unwrap();
        };
        tokio::join!(bob.says(trio.room, "too late"), cid.says(trio.room, "in time"), logout)
    };
    let (first, (bobs, cids, ())) = tokio::join!(ann.says(busy, "first"), two);
    first.created();
    bobs.refused(401, "unauthenticated");
    cids.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_message_that_two_servers_store_at_once_is_stored_once_whatever_else_is_in_their_batches() {
    let app = TestApp::start().await;
    let trio = Trio::new(&app).await;
    let group = trio.people[0].groups(&[&trio.people[2]]).await;
    let rooms = [trio.room, group, trio.people[0].opens_a_room().await];
    let (server, metrics_at) = measured(&app).await;
    let other = Server::start(&app, &[]).await;
    let [ann, bob, cid] = [0, 1, 2].map(|place| trio.people[place].at(&server.url()));
    let dan = app.prime("dan").await.at(&server.url());
    let busy = dan.opens_a_room().await;
    for (person, room) in [(&ann, rooms[2]), (&bob, rooms[0]), (&cid, rooms[1]), (&dan, busy)] {
        person.says(room, "opens a window").await.created();
    }
    let draft = json!({"roomId": rooms[2], "content": "once", "clientMessageId": "k1"});

    // The batch of three rooms waits for Cid's window. Before that it has read of the first room, and not of the last.
    let dans = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", dan.user_id);
    let cids = format!(
        "SELECT * FROM rate_limits FORCE INDEX (PRIMARY) WHERE name = 'message' AND subject = '{}' FOR UPDATE",
        cid.user_id
    );
    let waits_for_the_last = format!("WHERE id IN ({}) FOR UPDATE)", rooms[2]);
    let (mut holder_of_dan, mut holder_of_cid) = (app.holding(&dans).await, app.holding(&cids).await);
    let together = async {
        app.until_waiting("INSERT INTO messages").await;
        let again = async {
            app.until_metric(&metrics_at, "coterie_messages_waiting 3").await;
            holder_of_dan.query_drop("COMMIT").await.unwrap();
            app.until_waiting("JSON_TABLE").await;
            let elsewhere = ann.at(&other.url());
            let mut again = pin!(elsewhere.post("/api/messages", draft.clone()));
            let at_once = tokio::select! {
                answer = &mut again => Some(answer),
                () = app.until_waiting(&waits_for_the_last) => None,
            };
            holder_of_cid.query_drop("COMMIT").await.unwrap();
            match at_once {
                Some(answer) => answer,
                None => again.await,
            }
        };
        let after = async |waiting: &str| app.until_metric(&metrics_at, waiting).await;
        let second = async {
            after("coterie_messages_waiting 1").await;
            cid.says(rooms[1], "second").await
        };
        let third = async {
            after("coterie_messages_waiting 2").await;
            ann.post("/api/messages", draft.clone()).await
        };
        tokio::join!(bob.says(rooms[0], "first"), second, third, again)
    };
    let (dans, (bobs, cids, here, there)) = tokio::join!(dan.says(busy, "before"), together);
    for answer in [dans, bobs, cids] {
        answer.created();
    }
    let mut statuses = [here.status, there.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201], "{} {}", here.json, there.json);
    assert_eq!(here.json["message"]["messageId"], there.json["message"]["messageId"]);
    app.invariants_hold().await;
}

/// A send of a random kind, and what is expected of it at any time.
#[derive(Clone, Debug)]
struct Send {
    sender: usize,
    body: Value,
}

/// A `clientMessageId` of a message that was stored before. It has what JSON and SQL write in another way.
const BEFORE: &str = "\\before\\\" \u{1f600} 'é";

/// The same of a message that several send.
const TWICE: &str = "\u{1f600}\"\\u0041/'twice'";

/// Random sends whose results do not depend on their order. There are four people; Dan is no member.
fn random_sends(random: &mut StdRng, room: u64, elsewhere: u64) -> Vec<Send> {
    let number = random.random_range(20..60);
    let send = |number: usize, random: &mut StdRng| {
        let sender = random.random_range(0..4);
        let mut body = json!({"roomId": room, "content": format!("message {number}")});
        match random.random_range(0..10) {
            0 => body["roomId"] = json!(elsewhere),
            1 => body["roomId"] = json!(999_999_999),
            2 => body["replyTo"] = json!(format!("{room}-1")),
            3 => body["replyTo"] = json!(format!("{room}-99999")),
            4 => body["userId"] = json!("somebody-else"),
            // Stored before, by Ann: repeated by her, new for the others.
            5 => (body["content"], body["clientMessageId"]) = (json!("before"), json!(BEFORE)),
            6 => body["clientMessageId"] = json!(BEFORE),
            // The same by all: each sender's first is new, and the others are repetitions.
            7 => (body["content"], body["clientMessageId"]) = (json!("twice"), json!(TWICE)),
            8 => body["isEncrypted"] = json!(true),
            _ => {}
        }
        // A message that is new for some senders must not depend on who is first.
        if body["clientMessageId"] == BEFORE && (sender != 0) {
            body["clientMessageId"] = json!(format!("own {number}"));
        }
        Send { sender, body }
    };
    (0..number).map(|number| send(number, random)).collect()
}

/// The results of sends, without what depends on their order: the status, the code or the content.
fn results(sends: &[Send], answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut results = BTreeMap::new();
    for (send, answer) in sends.iter().zip(answers) {
        let mut message = answer.json["message"].clone();
        for field in ["messageId", "seq", "updatedSeq", "createdAt", "roomId", "userId", "name", "replyTo"] {
            message.as_object_mut().map(|message| message.remove(field));
        }
        if let Some(Value::Object(quoted)) = message.get_mut("quoted") {
            quoted.remove("messageId");
        }
        let code = &answer.json["code"];
        let result = format!("{} {} {code} {message} {}", send.sender, answer.status, answer.json["errors"]);
        *results.entry(result).or_default() += 1;
    }
    results
}

/// Two worlds get the same random sends: one at once, the other one by one. Half of the seeds send without a limit, since
/// the statements leave out what no message of a batch needs.
#[tokio::test]
async fn messages_sent_at_once_have_the_results_that_they_have_one_by_one() {
    for seed in 0..6 {
        let mut worlds = Vec::new();
        let limit = if seed % 2 == 0 { "1000/3600" } else { "0" };
        for at_once in [true, false] {
            let app = TestApp::with(&[("MESSAGE_LIMIT", limit)]).await;
            let mut trio = Trio::new(&app).await;
            let dan = app.prime("dan").await;
            let elsewhere = dan.opens_a_room().await;
            let before = json!({"roomId": trio.room, "content": "before", "clientMessageId": BEFORE});
            trio.people[0].post("/api/messages", before).await.created();
            let mut people = trio.people.clone();
            people.push(dan);
            let sends = random_sends(&mut StdRng::seed_from_u64(seed), trio.room, elsewhere);
            for socket in &mut trio.sockets {
                socket.rest().await;
            }
            let posted =
                sends.iter().map(|send| people[send.sender].post("/api/messages", send.body.clone()));
            let answers = if at_once {
                join_all(posted).await
            } else {
                let mut answers = Vec::new();
                for post in posted {
                    answers.push(post.await);
                }
                answers
            };
            let mut stored: Vec<String> =
                trio.people[0].reads(trio.room).await.into_iter().map(|(_, content)| content).collect();
            stored.sort_unstable();
            let mut pushed = Vec::new();
            for socket in &mut trio.sockets {
                let mut contents: Vec<String> = socket
                    .rest()
                    .await
                    .iter()
                    .map(|frame| frame["data"]["message"]["content"].to_string())
                    .collect();
                contents.sort_unstable();
                pushed.push(contents);
            }
            app.invariants_hold().await;
            worlds.push((results(&sends, &answers), stored, pushed));
        }
        assert_eq!(worlds[0], worlds[1], "with the seed {seed}");
    }
}
