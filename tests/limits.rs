//! Each rate limit is enforced, is exact for concurrent requests, and ends with its window: docs/contract.md, "Rate
//! limits".

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, Socket, TestApp};

/// The number of concurrent requests: more than any limit here.
const CROWD: usize = 50;

/// How many responses have this status. All others must be refusals by the limit.
#[track_caller]
fn passed(answers: Vec<Answer>, status: u16) -> usize {
    let all = answers.len();
    let passed = answers.iter().filter(|answer| answer.status == status).count();
    let refused = answers.iter().filter(|answer| answer.json["code"] == "rate_limited").count();
    assert_eq!(passed + refused, all, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    passed
}

/// How many of the next `count` answers have this event. All others must be refusals by the limit; pushes are
/// ignored.
async fn answers(socket: &mut Socket, count: usize, event: &str) -> usize {
    let mut passed = 0;
    let mut left = count;
    while left > 0 {
        let frame = socket.receive().await;
        if frame.get("ref").is_none() {
            continue;
        }
        left -= 1;
        if frame["event"] == event {
            passed += 1;
        } else {
            assert_eq!(frame["data"]["code"], "rate_limited", "{frame}");
            assert!((1..=600).contains(&frame["data"]["retryAfter"].as_u64().unwrap()), "{frame}");
        }
    }
    passed
}

/// Moves every window into the past by this time.
async fn later(app: &TestApp, time: Duration) {
    let time = time.as_millis() as u64;
    app.run("UPDATE rate_limits SET tally = tally - (? << 20) WHERE tally >= (? << 20)", (time, time)).await;
}

async fn log_in(app: &TestApp, identifier: &str, password: &str) -> Answer {
    app.post("/api/auth/login", json!({"identifier": identifier, "password": password})).await
}

async fn ticket(person: &Person) -> Answer {
    person.post("/api/ws-ticket", json!({})).await
}

async fn register(app: &TestApp) -> Answer {
    app.post("/api/auth/register", json!({"password": "correct horse"})).await
}

#[tokio::test]
async fn fifty_concurrent_registrations_from_one_address_are_limited_exactly() {
    let app = TestApp::with(&[("REGISTER_LIMIT", "7/600")]).await;
    assert_eq!(passed(join_all((0..CROWD).map(|_| register(&app))).await, 201), 7);
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM users").await, [7]);
    later(&app, Duration::from_secs(600)).await;
    assert_eq!(passed(join_all((0..CROWD).map(|_| register(&app))).await, 201), 7);
}

#[tokio::test]
async fn fifty_concurrent_wrong_passwords_are_limited_alike_for_known_and_unknown_users() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "7/600")]).await;
    let ann = app.user("ann").await;
    for identifier in [ann.user_id.as_str(), "nobody"] {
        let tries = (0..CROWD).map(|_| log_in(&app, identifier, "not the password"));
        assert_eq!(passed(join_all(tries).await, 401), 7, "{identifier}");
        // The limit is checked before the password, so even the right one is refused.
        log_in(&app, identifier, "ann's password").await.refused(429, "rate_limited");
    }
    later(&app, Duration::from_secs(600)).await;
    log_in(&app, &ann.user_id, "ann's password").await.ok();
    log_in(&app, "nobody", "ann's password").await.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn only_wrong_passwords_count() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "3/600")]).await;
    let ann = app.user("ann").await;
    for wrong in 0..3 {
        for _ in 0..5 {
            log_in(&app, &ann.user_id, "ann's password").await.ok();
        }
        let refused = log_in(&app, &ann.user_id, &format!("wrong {wrong}")).await;
        refused.refused(401, "invalid_credentials");
    }
    log_in(&app, &ann.user_id, "ann's password").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn all_identifiers_of_a_user_share_a_count_and_other_users_do_not() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "4/600")]).await;
    app.register(json!({"userId": "ann", "email": "ann@example.com", "password": "correct horse"})).await;
    app.user("bob").await;
    for email in ["ann@example.com", "ANN@example.com", "\u{ff21}nn@Example.Com"] {
        let login = json!({"email": email, "password": "wrong horse"});
        app.post("/api/auth/login", login).await.refused(401, "invalid_credentials");
    }
    log_in(&app, "ann", "wrong horse").await.refused(401, "invalid_credentials");
    log_in(&app, "aNN@example.com", "correct horse").await.refused(429, "rate_limited");
    log_in(&app, "ann", "correct horse").await.refused(429, "rate_limited");
    log_in(&app, "bob", "bob's password").await.ok();
}

#[tokio::test]
async fn all_spellings_of_an_identifier_that_is_nobodys_share_a_count() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "2/600")]).await;
    log_in(&app, "nobody@example.com", "guess 1").await.refused(401, "invalid_credentials");
    log_in(&app, "NOBODY@example.com", "guess 2").await.refused(401, "invalid_credentials");
    log_in(&app, "\u{ff2e}obody@example.com", "guess 3").await.refused(429, "rate_limited");
    log_in(&app, "somebody@example.com", "guess 4").await.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn wrong_passwords_of_many_identifiers_from_one_address_are_limited_together() {
    let app = TestApp::with(&[("LOGIN_LIMIT", "7/600")]).await;
    app.user("ann").await;
    let identifiers: Vec<String> = (0..CROWD).map(|guess| format!("guess-{guess}")).collect();
    let tries = identifiers.iter().map(|identifier| log_in(&app, identifier, "a password"));
    assert_eq!(passed(join_all(tries).await, 401), 7);
    log_in(&app, "ann", "ann's password").await.refused(429, "rate_limited");
    later(&app, Duration::from_secs(600)).await;
    log_in(&app, "ann", "ann's password").await.ok();
}

#[tokio::test]
async fn fifty_concurrent_right_passwords_are_all_accepted_and_none_counts() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "10/600"), ("LOGIN_LIMIT", "10/600")]).await;
    app.user("ann").await;
    assert_eq!(passed(join_all((0..CROWD).map(|_| log_in(&app, "ann", "ann's password"))).await, 200), CROWD);
    for _ in 0..10 {
        log_in(&app, "ann", "not ann's password").await.refused(401, "invalid_credentials");
    }
    log_in(&app, "ann", "ann's password").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn an_attempt_that_was_killed_does_not_count_for_long() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "1/600"), ("LOGIN_LIMIT", "1/600")]).await;
    app.user("ann").await;
    log_in(&app, "ann", "ann's password").await.ok();
    // As if the last attempt had begun 31 s ago and never ended.
    app.run("UPDATE rate_limits SET attempts = attempts - (31000 << 20) + 1 WHERE attempts > 0", ()).await;
    log_in(&app, "ann", "ann's password").await.ok();
}

#[tokio::test]
async fn passwords_beyond_a_full_queue_are_refused_at_once() {
    let app = TestApp::with(&[("BCRYPT_COST", "12"), ("PASSWORD_LIMIT", "0")]).await;
    let identifiers: Vec<String> = (0..150).map(|guess| format!("guess-{guess}")).collect();
    let mut answers: FuturesUnordered<_> =
        identifiers.iter().map(|identifier| log_in(&app, identifier, "a password")).collect();
    // The refusals overtake the queue.
    for _ in 0..10 {
        let refused = answers.next().await.unwrap();
        assert!((1..=30).contains(&refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap()));
        refused.refused(503, "overloaded");
    }
}

#[tokio::test]
async fn fifty_concurrent_ticket_requests_of_one_user_are_limited_exactly() {
    let app = TestApp::with(&[("TICKET_LIMIT", "7/60")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    assert_eq!(passed(join_all((0..CROWD).map(|_| ticket(&ann))).await, 201), 7);
    ticket(&bob).await.created();
    later(&app, Duration::from_secs(60)).await;
    assert_eq!(passed(join_all((0..CROWD).map(|_| ticket(&ann))).await, 201), 7);
}

#[tokio::test]
async fn fifty_concurrent_messages_by_rest_and_frame_to_two_rooms_are_limited_exactly() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "20/600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let rooms = [ann.opens_a_room().await, ann.opens_a_room().await];
    bob.joins(rooms[0]).await.created();
    let mut socket = ann.connect().await;
    for window in 1..=2 {
        let by_frame = async {
            for number in 0..CROWD / 2 {
                let draft = json!({"roomId": rooms[number % 2], "content": format!("frame {number}")});
                socket.send("sendMessage", draft).await;
            }
            answers(&mut socket, CROWD / 2, "ack").await
        };
        let by_rest = join_all((0..CROWD / 2).map(|number| ann.says(rooms[number % 2], "post")));
        let (by_frame, by_rest) = tokio::join!(by_frame, by_rest);
        assert_eq!(by_frame + passed(by_rest, 201), 20);
        let stored: Vec<u64> = app.rows("SELECT COUNT(*) FROM messages WHERE kind = 'text'").await;
        assert_eq!(stored, [20 * window], "refused messages are not stored");
        app.invariants_hold().await;
        ann.says(rooms[0], "one more").await.refused(429, "rate_limited");
        later(&app, Duration::from_secs(600)).await;
    }
    bob.says(rooms[0], "nothing stops me").await.created();
}

#[tokio::test]
async fn each_users_messages_are_counted_separately() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "2/600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    for person in [&ann, &bob] {
        person.says(room, "one").await.created();
        person.says(room, "two").await.created();
        person.says(room, "three").await.refused(429, "rate_limited");
    }
    assert_eq!(ann.reads(room).await.len(), 1 + 4, "a refused request takes no sequence number");
}

#[tokio::test]
async fn refused_and_repeated_sends_count_too() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "8/600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let (room, bobs) = (ann.opens_a_room().await, bob.opens_a_room().await);
    let repeatable = |content: &str| json!({"roomId": room, "content": content, "clientMessageId": "k1"});
    ann.post("/api/messages", repeatable("once")).await.created();
    let mut socket = ann.connect().await;
    ann.post("/api/messages", repeatable("once")).await.ok();
    ann.post("/api/messages", repeatable("twice")).await.refused(409, "client_message_id_reused");
    socket.refused("sendMessage", repeatable("twice"), "client_message_id_reused").await;
    ann.says(bobs, "let me in").await.refused(403, "not_a_member");
    socket.refused("sendMessage", json!({"roomId": 999_999_999, "content": "x"}), "room_not_found").await;
    let somebody_else = json!({"roomId": room, "content": "x", "userId": bob.user_id});
    ann.post("/api/messages", somebody_else).await.refused(403, "identity_mismatch");
    let nothing = json!({"roomId": room, "content": "x", "replyTo": format!("{room}-99")});
    assert_eq!(ann.post("/api/messages", nothing).await.wrong_fields(), ["replyTo"]);

    ann.says(bobs, "let me in").await.refused(429, "rate_limited");
    ann.post("/api/messages", repeatable("once")).await.refused(429, "rate_limited");
    socket.refused("sendMessage", repeatable("once"), "rate_limited").await;
    ann.says(room, "hello").await.refused(429, "rate_limited");
    later(&app, Duration::from_secs(600)).await;
    ann.post("/api/messages", repeatable("once")).await.ok();
}

#[tokio::test]
async fn first_direct_messages_count_even_if_they_are_refused() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "2/600")]).await;
    let mut people = Vec::new();
    for name in ["ann", "bob", "cat", "dan", "eve"] {
        people.push(app.user(name).await);
    }
    let [ann, bob, cat, dan, eve] = &people[..] else { unreachable!() };
    ann.writes_to(bob, "hello").await.created();
    ann.writes_to(cat, "hello").await.created();
    ann.writes_to(dan, "hello").await.refused(429, "rate_limited");
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM rooms").await, [2]);

    let letters = [
        json!({"to": dan.user_id, "content": "x", "replyTo": "1-1"}),
        json!({"to": bob.user_id, "content": "x", "replyTo": "999-1"}),
        json!({"to": dan.user_id, "content": "x"}),
    ];
    let write = async |letter: &Value| dan.post("/chats/send-message", letter.clone()).await;
    assert_eq!(write(&letters[1]).await.wrong_fields(), ["replyTo"]);
    assert_eq!(write(&letters[2]).await.wrong_fields(), ["to"]);
    write(&letters[2]).await.refused(429, "rate_limited");
    let write = async |letter: Value| eve.post("/chats/send-message", letter).await;
    write(json!({"to": "nobody", "content": "x"})).await.refused(404, "user_not_found");
    assert_eq!(write(letters[0].clone()).await.wrong_fields(), ["replyTo"]);
    write(json!({"to": "nobody", "content": "x"})).await.refused(429, "rate_limited");
    // In an existing chat `replyTo` must be a message of that chat, and a refused message counts too.
    let by_chat = |chat: u64| json!({"to": ann.user_id, "content": "x", "replyTo": format!("{chat}-1")});
    assert_eq!(bob.post("/chats/send-message", by_chat(999)).await.wrong_fields(), ["replyTo"]);
    bob.writes_to(ann, "hello").await.created();
    bob.writes_to(ann, "hello").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn fifty_concurrent_frames_on_all_sockets_of_a_user_are_limited_exactly() {
    let app = TestApp::with(&[("FRAME_LIMIT", "20/600")]).await;
    let ann = app.user("ann").await;
    let mut sockets = [ann.connect().await, ann.connect().await];
    for _ in 1..=2 {
        let pongs = sockets.iter_mut().map(async |socket| {
            for _ in 0..CROWD / 2 {
                socket.send("ping", json!({})).await;
            }
            answers(socket, CROWD / 2, "pong").await
        });
        assert_eq!(join_all(pongs).await.into_iter().sum::<usize>(), 20);
        later(&app, Duration::from_secs(600)).await;
    }
}

#[tokio::test]
async fn malformed_frames_count_towards_the_frame_limit_and_sends_do_not() {
    // One more for the room.
    let app = TestApp::with(&[("FRAME_LIMIT", "10/600"), ("MESSAGE_LIMIT", "12/600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    let send = json!({"event": "sendMessage", "data": {"roomId": room, "content": "hello"}}).to_string();
    let malformed = [
        "hello",
        "[]",
        "{}",
        r#"{"event": "nope"}"#,
        r#"{"event": "ping", "data": []}"#,
        &json!({"event": "ping", "ref": "x".repeat(255)}).to_string(),
        r#"{"event": "joinRoom"}"#,
        r#"{"event": "reactMessage", "data": {"messageId": "1-1"}}"#,
        r#"{"event": "sendMessage", "data": {"roomId": 1}}"#,
    ];
    for text in malformed {
        socket.send_text(text).await;
        assert_eq!(socket.receives("error").await["code"], "invalid_request", "{text}");
        socket.send_text(send.as_str()).await;
        socket.receives("ack").await;
    }
    for text in malformed.into_iter().chain([r#"{"event": "ping"}"#]) {
        socket.send_text(text).await;
        assert_eq!(socket.receives("error").await["code"], "rate_limited", "{text}");
    }
    for _ in malformed.len()..12 {
        socket.send_text(send.as_str()).await;
        socket.receives("ack").await;
    }
    socket.send_text(send).await;
    assert_eq!(socket.receives("error").await["code"], "rate_limited");
    bob.connect().await.has_nothing().await;
}

#[tokio::test]
async fn an_unknown_socket_gets_unauthenticated_even_over_its_limits() {
    let app = TestApp::with(&[("FRAME_LIMIT", "1/600"), ("MESSAGE_LIMIT", "1/600")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for text in [
        r#"{"event": "ping"}"#.to_owned(),
        "hello".to_owned(),
        json!({"event": "sendMessage", "data": {"roomId": room, "content": "x"}}).to_string(),
    ] {
        let mut socket = ann.connect().await;
        socket.send("ping", json!({})).await;
        socket.receive().await;
        socket.send("sendMessage", json!({"roomId": room, "content": "x"})).await;
        socket.receive().await;
        app.run("UPDATE connections SET expires_at = UTC_TIMESTAMP(3)", ()).await;
        socket.send_text(text).await;
        assert_eq!(socket.receives("error").await["code"], "unauthenticated");
        assert_eq!(socket.closed().await, 1000);
    }
}

#[tokio::test]
async fn refusals_say_when_to_retry_in_headers_bodies_and_frames() {
    let settings = [
        ("REGISTER_LIMIT", "2/500"),
        ("PASSWORD_LIMIT", "2/500"),
        ("TICKET_LIMIT", "2/500"),
        ("MESSAGE_LIMIT", "2/500"),
        // One of them for the room.
        ("FRAME_LIMIT", "3/500"),
    ];
    let app = TestApp::with(&settings).await;
    let ann = app.prime("ann").await;
    app.user("bob").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    for _ in 0..2 {
        log_in(&app, "ann", "wrong").await.refused(401, "invalid_credentials");
        ticket(&ann).await.created();
        ann.says(room, "hello").await.created();
        socket.receives("receiveMessage").await;
        assert_eq!(socket.ask("ping", json!({})).await["event"], "pong");
    }
    // Later, but within the same windows.
    later(&app, Duration::from_secs(100)).await;
    let refused = [
        register(&app).await,
        log_in(&app, "ann", "wrong").await,
        ticket(&ann).await,
        ann.says(room, "x").await,
    ];
    for answer in refused {
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        let reset = header("ratelimit-reset");
        assert!((1..=400).contains(&reset.parse::<u64>().unwrap()), "{reset}");
        assert_eq!((header("ratelimit-limit").as_str(), header("ratelimit-remaining").as_str()), ("2", "0"));
        assert_eq!(header("retry-after"), reset);
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(answer.refused(429, "rate_limited")["retryAfter"], reset.parse::<u64>().unwrap());
    }
    for (event, data) in [("ping", json!({})), ("sendMessage", json!({"roomId": room, "content": "x"}))] {
        let problem: Value = socket.refused(event, data, "rate_limited").await;
        assert_eq!((&problem["status"], &problem["title"]), (&json!(429), &json!("Too Many Requests")));
        assert!((1..=400).contains(&problem["retryAfter"].as_u64().unwrap()), "{problem}");
    }
}

#[tokio::test]
async fn zero_turns_a_limit_off() {
    let settings = [
        ("REGISTER_LIMIT", "0"),
        ("PASSWORD_LIMIT", "0"),
        ("LOGIN_LIMIT", "0"),
        ("TICKET_LIMIT", "0"),
        ("MESSAGE_LIMIT", "0"),
        ("FRAME_LIMIT", "0"),
        ("READ_LIMIT", "0"),
        ("ROOM_LIMIT", "0"),
        ("ADD_LIMIT", "0"),
    ];
    let app = TestApp::with(&settings).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    assert_eq!(passed(join_all((0..25).map(|_| register(&app))).await, 201), 25);
    assert_eq!(passed(join_all((0..15).map(|_| log_in(&app, "ann", "wrong"))).await, 401), 15);
    assert_eq!(passed(join_all((0..35).map(|_| ticket(&ann))).await, 201), 35);
    let bob = app.user("bob").await;
    join_all((0..35).map(async |_| ann.groups(&[&bob]).await)).await;
    let sends = join_all((0..70).map(|_| ann.says(room, "hello"))).await;
    assert_eq!(passed(sends, 201), 70);
    ann.reads(room).await;
    for _ in 0..70 {
        socket.send("ping", json!({})).await;
    }
    assert_eq!(answers(&mut socket, 70, "pong").await, 70);
    assert!(app.rows::<String>("SELECT name FROM rate_limits").await.is_empty(), "nothing is counted");
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_window_starts_with_its_first_request_and_later_ones_do_not_extend_it() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "2/600"), ("FRAME_LIMIT", "2/600")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    let draft = json!({"roomId": room, "content": "hello"});
    // The room has opened a window too.
    later(&app, Duration::from_secs(600)).await;
    for _ in 0..3 {
        socket.acked("sendMessage", draft.clone()).await;
        assert_eq!(socket.ask("ping", json!({})).await["event"], "pong");
        // The second one comes late in the window and does not extend it.
        later(&app, Duration::from_secs(590)).await;
        socket.acked("sendMessage", draft.clone()).await;
        assert_eq!(socket.ask("ping", json!({})).await["event"], "pong");
        socket.refused("sendMessage", draft.clone(), "rate_limited").await;
        socket.refused("ping", json!({}), "rate_limited").await;
        later(&app, Duration::from_secs(10)).await;
    }
}

#[tokio::test]
async fn concurrent_sends_to_many_rooms_amid_joins_and_leaves_meet_no_deadlock() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "1000/600")]).await;
    let ann = app.prime("ann").await;
    let rooms = join_all((0..4).map(|_| ann.opens_a_room())).await;
    let names: Vec<_> = (0..4).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.prime(name))).await;
    let mut sockets = join_all((0..4).map(|_| ann.connect())).await;
    // Each socket sends to all rooms, beginning with a different one.
    let by_frame = join_all(sockets.iter_mut().enumerate().map(async |(first, socket)| {
        for number in 0..40 {
            let room = rooms[(first + number) % 4];
            socket.send("sendMessage", json!({"roomId": room, "content": "frame"})).await;
        }
        answers(socket, 40, "ack").await
    }));
    let by_rest = join_all((0..4).map(async |first| {
        for number in 0..20 {
            ann.says(rooms[(first + number) % 4], "post").await.created();
        }
    }));
    let in_and_out = join_all(guests.iter().enumerate().map(async |(first, guest)| {
        for number in 0..12 {
            let room = rooms[(first + number) % 4];
            guest.joins(room).await.created();
            guest.says(room, "here I am").await.created();
            guest.leaves(room).await.no_content();
        }
    }));
    let (acks, _, _) = tokio::join!(by_frame, by_rest, in_and_out);
    assert_eq!(acks, [40; 4]);
    let counted: Vec<u64> = app
        .rows(&format!(
            "SELECT tally & 1048575 FROM rate_limits WHERE name = 'message' AND subject = '{}'",
            ann.user_id
        ))
        .await;
    assert_eq!(counted, [4 * 40 + 4 * 20]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn writes_by_rest_and_frames_share_the_frame_limit_and_reads_do_not_count() {
    let app = TestApp::with(&[("FRAME_LIMIT", "6/600")]).await;
    let ann = app.user("ann").await;
    let mut socket = ann.connect().await;
    for name in ["Ann", "Anna"] {
        ann.patch("/api/profile", json!({"name": name})).await.ok();
        socket.receives("userUpdated").await;
        assert_eq!(ann.patch("/api/profile", json!({"name": ""})).await.wrong_fields(), ["name"]);
        assert_eq!(socket.ask("ping", json!({})).await["event"], "pong");
        ann.get("/api/profile/me").await.ok();
    }
    ann.patch("/api/profile", json!({"name": "Zoe"})).await.refused(429, "rate_limited");
    ann.post("/groups", json!({"name": "Hikers"})).await.refused(429, "rate_limited");
    socket.refused("ping", json!({}), "rate_limited").await;
    assert_eq!(ann.get("/api/profile/me").await.ok()["name"], "Anna");
    later(&app, Duration::from_secs(600)).await;
    ann.patch("/api/profile", json!({"name": "Zoe"})).await.ok();
}

#[tokio::test]
async fn fifty_concurrent_reads_are_limited_exactly_and_nothing_else_is() {
    let app = TestApp::with(&[("READ_LIMIT", "20/600")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut socket = ann.connect().await;
    let no_rooms = || json!({"rooms": {}});
    assert_eq!(socket.ask("sync", no_rooms()).await["event"], "sync");
    let reads = join_all((0..CROWD).map(async |number| match number % 3 {
        0 => ann.get("/api/profile/me").await,
        1 => ann.get("/chats").await,
        _ => ann.post("/api/sync", no_rooms()).await,
    }));
    assert_eq!(passed(reads.await, 200), 19);
    socket.refused("sync", no_rooms(), "rate_limited").await;
    ann.patch("/api/profile", json!({"name": "Anna"})).await.ok();
    socket.receives("userUpdated").await;
    assert_eq!(socket.ask("ping", json!({})).await["event"], "pong");
    bob.get("/api/profile/me").await.ok();
    later(&app, Duration::from_secs(600)).await;
    ann.get("/api/profile/me").await.ok();
}

#[tokio::test]
async fn the_token_of_an_ended_session_uses_up_nothing_that_its_user_may_read() {
    let app = TestApp::with(&[("READ_LIMIT", "3/600")]).await;
    let ann = app.user("ann").await;
    let phone = Person::new(&app, &log_in(&app, "ann", "ann's password").await.ok());
    phone.post("/api/auth/logout", json!({})).await.no_content();
    for answer in join_all((0..CROWD).map(|_| phone.get("/api/profile/me"))).await {
        answer.refused(401, "unauthenticated");
    }
    assert_eq!(passed(join_all((0..5).map(|_| ann.get("/api/profile/me"))).await, 200), 3);
}

#[tokio::test]
async fn fifty_concurrent_joins_and_leaves_are_limited_exactly() {
    let app = TestApp::with(&[("FRAME_LIMIT", "20/600"), ("PASSWORD_LIMIT", "0")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    let tries = join_all((0..CROWD).map(async |number| match number % 2 {
        0 => bob.joins(room).await,
        _ => bob.leaves(room).await,
    }));
    let refused = tries.await.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(refused, CROWD - 20);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_session_can_be_ended_however_much_is_done_with_it() {
    let app = TestApp::with(&[("FRAME_LIMIT", "1/600"), ("MESSAGE_LIMIT", "1/600")]).await;
    let ann = app.user("ann").await;
    let phone = Person::new(&app, &log_in(&app, "ann", "ann's password").await.ok());
    let flood = join_all((0..CROWD).map(|_| phone.patch("/api/profile", json!({"name": "Not Ann"})))).await;
    assert_eq!(passed(flood, 200), 1);
    ann.patch("/api/profile", json!({"name": "Ann"})).await.refused(429, "rate_limited");
    ann.delete(&format!("/api/auth/sessions/{}", phone.session_id())).await.no_content();
    phone.get("/api/profile/me").await.refused(401, "unauthenticated");
    ann.post("/api/auth/logout", json!({"everywhere": true})).await.no_content();
}

#[tokio::test]
async fn refreshes_count_as_writes_and_unknown_tokens_do_not() {
    let app = TestApp::with(&[("FRAME_LIMIT", "3/600")]).await;
    let ann = app.user("ann").await;
    let refresh =
        async |token: &str| app.post("/api/auth/refresh-token", json!({"refreshToken": token})).await;
    refresh("nobody's").await.refused(401, "unauthenticated");
    let mut token = ann.refresh_token.clone();
    for _ in 0..3 {
        let fresh = refresh(&token).await.ok();
        fresh["refreshToken"].as_str().unwrap().clone_into(&mut token);
    }
    refresh(&token).await.refused(429, "rate_limited");
    later(&app, Duration::from_secs(600)).await;
    refresh(&token).await.ok();
}

#[tokio::test]
async fn edits_and_deletions_share_the_limit_of_messages() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "8/600"), ("FRAME_LIMIT", "2/600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let sent = ann.says(room, "one").await.created()["message"]["messageId"].clone();
    let path = format!("/api/messages/{}", sent.as_str().unwrap());
    let mut socket = ann.connect().await;
    let edit = |content: &str| json!({"messageId": sent, "content": content});
    ann.patch(&path, json!({"content": "two"})).await.ok();
    socket.receives("messageEdited").await;
    socket.acked("editMessage", edit("three")).await;
    // What is refused or changes nothing counts too.
    ann.patch(&path, json!({"content": "three"})).await.ok();
    assert_eq!(ann.patch(&path, json!({"content": ""})).await.wrong_fields(), ["content"]);
    socket.refused("editMessage", json!({"messageId": "1-99", "content": "x"}), "message_not_found").await;
    socket.refused("deleteMessage", json!({}), "invalid_request").await;
    ann.delete(&path).await.ok();
    socket.receives("messageDeleted").await;

    ann.delete(&path).await.refused(429, "rate_limited");
    ann.patch(&path, json!({"content": "x"})).await.refused(429, "rate_limited");
    socket.refused("editMessage", edit("x"), "rate_limited").await;
    socket.refused("deleteMessage", json!({"messageId": sent}), "rate_limited").await;
    ann.says(room, "x").await.refused(429, "rate_limited");
    // Other frames are counted by themselves.
    assert_eq!(socket.ask("ping", json!({})).await["event"], "pong");
    bob.says(room, "hello").await.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn fifty_concurrent_edits_are_limited_exactly() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "20/600")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let sent = ann.says(room, "0").await.created();
    let path = format!("/api/messages/{}", sent["message"]["messageId"].as_str().unwrap());
    let edits =
        (1..=CROWD).map(async |number| ann.patch(&path, json!({"content": format!("{number}")})).await);
    assert_eq!(passed(join_all(edits).await, 200), 19);
    assert_eq!(app.rows::<u64>(&format!("SELECT last_seq FROM rooms WHERE id = {room}")).await, [20]);
}

#[tokio::test]
async fn fifty_concurrent_rooms_of_all_kinds_are_limited_exactly() {
    let app = TestApp::with(&[("ROOM_LIMIT", "7/600")]).await;
    let ann = app.foreigner("ann").await;
    let others =
        join_all((0..CROWD / 4).map(async |number| app.foreigner(&format!("guest{number}")).await)).await;
    for window in 1..=2 {
        let tries = (0..CROWD).map(async |number| match number % 4 {
            0 => ann.post("/api/chatrooms", json!({"password": "open sesame"})).await,
            1 => ann.post("/api/chat", json!({"name": "A channel"})).await,
            2 => ann.post("/groups", json!({"name": "Hikers"})).await,
            // A message to somebody new makes a room, and one to an old friend makes none.
            _ => ann.writes_to(&others[number / 4], "hello").await,
        });
        join_all(tries).await;
        let made: Vec<u64> = app.rows("SELECT COUNT(*) FROM rooms").await;
        assert_eq!(made, [7 * window]);
        let mut socket = ann.connect().await;
        socket.refused("createGroup", json!({"name": "Hikers"}), "rate_limited").await;
        socket.refused("newChatRoom", json!({"roomName": "A channel"}), "rate_limited").await;
        let refused = ann.post("/api/chatrooms", json!({"password": "open sesame"})).await;
        assert!((1..=600).contains(&refused.refused(429, "rate_limited")["retryAfter"].as_u64().unwrap()));
        others[0].groups(&[]).await;
        app.run("DELETE FROM rooms WHERE created_by = ?", (&others[0].user_id,)).await;
        later(&app, Duration::from_secs(600)).await;
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn only_rooms_that_were_made_count() {
    let app = TestApp::with(&[("ROOM_LIMIT", "2/600")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    for _ in 0..3 {
        ann.post("/api/chatrooms", json!({"password": "open sesame"})).await.refused(403, "prime_required");
        ann.post("/api/chat", json!({"name": "A channel"})).await.refused(403, "role_required");
        ann.post("/groups", json!({"name": "x", "members": ["nobody"]})).await.refused(404, "user_not_found");
    }
    ann.writes_to(&bob, "hello").await.created();
    ann.writes_to(&bob, "hello").await.created();
    // A deleted room was made all the same.
    let group = ann.groups(&[]).await;
    ann.delete(&format!("/api/rooms/{group}")).await.no_content();
    ann.post("/groups", json!({"name": "Hikers"})).await.refused(429, "rate_limited");
    ann.writes_to(&bob, "hello").await.created();
}

#[tokio::test]
async fn people_who_are_no_friends_are_counted_when_they_are_added_to_groups() {
    let app = TestApp::with(&[("ADD_LIMIT", "10/600")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let strangers = join_all((0..13).map(async |number| app.user(&format!("guest{number}")).await)).await;
    ann.post("/api/friend-requests", json!({"userId": bob.user_id})).await.created();
    bob.post("/api/friend-requests", json!({"userId": ann.user_id})).await.created();
    let group = async |members: &[&Person]| {
        let members: Vec<_> = members.iter().map(|member| &member.user_id).chain([&ann.user_id]).collect();
        ann.post("/groups", json!({"name": "Hikers", "members": members})).await
    };
    let add = async |group: u64, member: &Person| {
        ann.post(&format!("/groups/{group}/add-user"), json!({"userId": member.user_id})).await
    };
    let some: Vec<&Person> = strangers.iter().collect();
    // No wait would help with more strangers than the limit has places.
    assert_eq!(group(&some[..11]).await.wrong_fields(), ["members"]);
    let first = group(&[&some[..4], &[&bob]].concat()).await.created()["group"]["id"].as_u64().unwrap();
    group(&some[..4]).await.created();
    group(&some[..3]).await.refused(429, "rate_limited");
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM rooms").await, [2], "a refused group is not made");
    group(&some[..1]).await.created();
    let mut socket = ann.connect().await;
    let two = json!({"name": "Hikers", "members": [some[5].user_id, some[6].user_id]});
    socket.refused("createGroup", two, "rate_limited").await;
    // Somebody who is in the group is not added again.
    for _ in 0..3 {
        add(first, some[0]).await.ok();
    }
    add(first, some[12]).await.ok();
    add(first, some[11]).await.refused(429, "rate_limited");
    group(&[&bob]).await.created();
    bob.leaves(first).await.no_content();
    add(first, &bob).await.ok();
    bob.groups(&[some[0]]).await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn fifty_concurrent_additions_to_two_groups_are_limited_exactly() {
    let app = TestApp::with(&[("ADD_LIMIT", "20/600")]).await;
    let ann = app.user("ann").await;
    let groups = [ann.groups(&[]).await, ann.groups(&[]).await];
    let strangers = join_all((0..CROWD).map(async |number| app.user(&format!("guest{number}")).await)).await;
    for window in 1..=2 {
        let additions = strangers.iter().enumerate().map(async |(number, stranger)| {
            let path = format!("/groups/{}/add-user", groups[(number + window) % 2]);
            ann.post(&path, json!({"userId": stranger.user_id})).await
        });
        join_all(additions).await;
        let added: Vec<u64> = app.rows("SELECT COUNT(*) FROM room_members WHERE role = 'member'").await;
        assert_eq!(added, [20 * window as u64]);
        later(&app, Duration::from_secs(600)).await;
    }
    app.invariants_hold().await;
}
