//! Several `coterie serve` over one database, and replacing one by another: docs/contract.md, "Several processes".

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, Server, Socket, TestApp};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ann with a room, in which Bob is.
async fn two_members(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    (ann, bob, room)
}

const OPEN: &str = "SELECT COUNT(*) FROM connections WHERE expires_at > UTC_TIMESTAMP(3)";

#[tokio::test]
async fn what_happens_at_one_server_reaches_the_sockets_at_the_other_and_ends_none_of_them() {
    let app = TestApp::start().await;
    let (ann, bob, room) = two_members(&app).await;
    let (mut one, mut other) = (Server::start(&app, &[]).await, Server::start(&app, &[]).await);
    let (mut anns, mut bobs) = (one.connect(&ann).await, other.connect(&bob).await);
    let mut anns_second = other.connect(&ann).await;
    // A post to a socket of less than a minute would not end it in any case.
    app.run("UPDATE connections SET connected_at = connected_at - INTERVAL 2 MINUTE", ()).await;

    anns.acked("sendMessage", json!({"roomId": room, "content": "from one"})).await;
    assert_eq!(bobs.receives("receiveMessage").await["message"]["content"], "from one");
    assert_eq!(anns_second.receives("receiveMessage").await["message"]["content"], "from one");
    bobs.acked("sendMessage", json!({"roomId": room, "content": "from the other"})).await;
    for socket in [&mut anns, &mut anns_second] {
        assert_eq!(socket.receives("receiveMessage").await["message"]["content"], "from the other");
    }
    ann.at(&one.url()).says(room, "over REST").await.created();
    for socket in [&mut anns, &mut anns_second, &mut bobs] {
        assert_eq!(socket.receives("receiveMessage").await["message"]["content"], "over REST");
    }
    anns.send("typing", json!({"roomId": room})).await;
    assert_eq!(bobs.receives("typing").await["userId"], "ann");
    assert_eq!(app.rows::<u64>(OPEN).await, [3]);

    // The end of a session closes its sockets, wherever they are.
    let second =
        app.post("/api/auth/login", json!({"identifier": "bob", "password": "bob's password"})).await;
    let second = Person::new(&app, &second.ok());
    let sessions = second.get("/api/auth/sessions").await.ok();
    let first = sessions["sessions"].as_array().unwrap().iter().find(|session| session["current"] == false);
    let first = first.unwrap()["sessionId"].as_str().unwrap();
    second.at(&one.url()).delete(&format!("/api/auth/sessions/{first}")).await.no_content();
    let (frames, code) = bobs.until_closed().await;
    assert!(frames.iter().any(|frame| frame["event"] == "sessionRevoked"), "{frames:?}");
    assert_eq!(code, 1000);

    for server in [&mut one, &mut other] {
        assert!(server.signal(Signal::TERM).await.success());
        assert_eq!(server.warning().await, None);
    }
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM server_processes").await, [0]);
}

#[tokio::test]
async fn a_server_that_is_killed_is_noticed_by_the_other_which_ends_its_sockets_and_tells_who_is_gone() {
    let app = TestApp::start().await;
    let (ann, bob, room) = two_members(&app).await;
    let (mut killed, living) = (Server::start(&app, &[]).await, Server::start(&app, &[]).await);
    let _anns = killed.connect(&ann).await;
    let mut bobs = living.connect(&bob).await.hearing_presence();
    killed.signal(Signal::KILL).await;
    // The post that nobody takes makes the other look.
    bobs.acked("sendMessage", json!({"roomId": room, "content": "Ann?"})).await;
    assert_eq!(bobs.receives("presence").await, json!({"userId": "ann", "online": false}));
    app.until(1, "SELECT COUNT(*) FROM connections").await;
    app.until(1, "SELECT COUNT(*) FROM server_processes").await;
    // The other's own sockets are as they were.
    bobs.acked("sendMessage", json!({"roomId": room, "content": "Pity."})).await;
}

/// Reads the messages of a room as a client does: over a socket, which it opens again when it is closed, and with `sync`
/// after that and wherever numbers are missing. Returns the numbers up to the message with this content.
async fn reads_until(person: Person, port: u16, room: u64, last: &str) -> BTreeSet<u64> {
    let (mut known, mut end) = (BTreeSet::new(), None);
    let url = format!("ws://127.0.0.1:{port}/?token={}", person.access_token);
    loop {
        let Some(mut socket) = Socket::try_connect(&url).await else { continue };
        let mut asks = true;
        loop {
            let whole = (1..).take_while(|seq| known.contains(seq)).last().unwrap_or(0);
            if end.is_some_and(|end| end <= whole) {
                return known;
            }
            if asks && !socket.try_send("sync", json!({"rooms": {(room.to_string()): whole}})).await {
                break;
            }
            let Some(frame) = socket.next_or_end().await else { break };
            let messages = match frame["event"].as_str() {
                Some("sync") => frame["data"]["rooms"][room.to_string()]["messages"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
                Some("receiveMessage") => vec![frame["data"]["message"].clone()],
                _ => Vec::new(),
            };
            for message in &messages {
                let seq = message["seq"].as_u64().unwrap();
                known.insert(seq);
                end = end.or((message["content"] == last).then_some(seq));
            }
            // A number is missing, or the answer had no room for more.
            asks = frame["event"] == "sync" && !messages.is_empty()
                || frame["event"] == "receiveMessage"
                    && !known.contains(&(messages[0]["seq"].as_u64().unwrap() - 1));
        }
    }
}

#[tokio::test]
async fn a_server_is_replaced_while_people_write_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let (ann, bob, room) = two_members(&app).await;
    let port = Server::free_port().await;
    let same_port = [("PORT", &*port.to_string())];
    let mut old = Server::start(&app, &same_port).await;
    let refused = Server::try_start(&app, &[], &same_port).await.err().expect("the port is in use");
    assert!(refused.contains(&format!("port {port} is in use")), "{refused}");

    let url = format!("http://127.0.0.1:{port}");
    let reader = tokio::spawn(reads_until(bob.clone(), port, room, "the last"));
    // Ann sends each message until it is acknowledged, under its own id: once, however often she sends it.
    let send = async |number: usize, content: &str| {
        let body =
            json!({"roomId": room, "content": content, "clientMessageId": format!("message {number}")});
        loop {
            let request =
                app.http.post(format!("{url}/api/messages")).bearer_auth(&ann.access_token).json(&body);
            if let Ok(answer) = request.send().await
                && answer.status().is_success()
            {
                return answer.json::<Value>().await.unwrap()["message"]["seq"].as_u64().unwrap();
            }
        }
    };
    let mut sent = Vec::new();
    for number in 0..20 {
        sent.push(send(number, "before").await);
    }
    let new = Server::try_start(&app, &["--beside"], &same_port).await.unwrap_or_else(|log| panic!("{log}"));
    for number in 20..40 {
        sent.push(send(number, "while both serve").await);
    }
    old.send(Signal::TERM);
    for number in 40..80 {
        sent.push(send(number, "while the old one stops").await);
    }
    assert!(old.end().await.success());
    sent.push(send(80, "the last").await);
    let read = timeout(PATIENCE, reader).await.expect("Bob catches up").unwrap();
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len());
    let lost: Vec<_> = sent.iter().filter(|seq| !read.contains(seq)).collect();
    assert!(lost.is_empty(), "{lost:?} of {sent:?}");
    drop(new);
    app.invariants_hold().await;
}

#[tokio::test]
async fn posts_between_processes_need_the_key_from_the_database() {
    let app = TestApp::start().await;
    let _server = Server::start(&app, &[]).await;
    let (address, key): (String, String) =
        app.rows("SELECT address, post_key FROM server_processes").await.remove(0);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let post = async |key: Option<&str>, path: &str, body: &'static str| {
        let mut request = app.http.post(format!("http://{address}{path}")).body(body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post(None, "/posts", "[]").await, 401);
    assert_eq!(post(Some("guessed"), "/posts", "[]").await, 401);
    assert_eq!(post(Some(&key), "/posts", "[]").await, 204);
    assert_eq!(post(Some(&key), "/posts", "no job").await, 400);
    assert_eq!(post(Some(&key), "/elsewhere", "[]").await, 404);
}
