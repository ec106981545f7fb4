//! Clients of Socket.IO, by the packets that they send. `sdk/tests/socket-io.test.ts` has the same with the client from npm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use gateway::connections::Connections;
use serde_json::{Value, json};
use shared::base::push::{NotDelivered, Sockets};
use shared::config::{Config, DirectPosts};
use tokio::time::{Instant, timeout};

use crate::harness::{Person, ROOM_PASSWORD, Socket, Statements, TestApp, socket_io_url};

/// Opens a socket that has not said who it is, with more in its query.
async fn opened(app: &TestApp, query: &str) -> Socket {
    let opened = Socket::open_socket_io(&format!("{}{query}", socket_io_url(&app.sockets)), None).await;
    opened.unwrap_or_else(|(status, body)| panic!("{query}: {status} {body}"))
}

/// Sends a CONNECT packet, and returns the JSON of the answer and whether it lets the client in.
async fn connect(socket: &mut Socket, auth: &Value) -> (bool, Value) {
    socket.send_text(format!("40{auth}")).await;
    let answer = socket.text().await;
    let (kind, json) = answer.split_at(2);
    assert!(matches!(kind, "40" | "44"), "{answer}");
    (kind == "40", serde_json::from_str(json).unwrap())
}

async fn ticket(person: &Person) -> String {
    let answer = person.post("/api/ws-ticket", json!({})).await.created();
    answer["ticket"].as_str().unwrap().to_owned()
}

/// Waits until a table has so many rows of this kind.
async fn until(app: &TestApp, count: u64, from: &str) {
    let counted =
        async { while app.rows::<u64>(&format!("SELECT COUNT(*) FROM {from}")).await != [count] {} };
    timeout(Duration::from_secs(20), counted).await.unwrap_or_else(|_| panic!("not {count}: {from}"));
}

#[tokio::test]
async fn a_client_says_who_it_is_in_its_first_packet_or_in_its_handshake() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let (in_packet, in_query) = (ticket(&ann).await, ticket(&ann).await);
    for (query, auth) in [
        (String::new(), json!({"token": ann.access_token})),
        (String::new(), json!({"ticket": in_packet, "token": null})),
        (format!("&token={}", ann.access_token), json!({})),
        (format!("&ticket={in_query}"), json!({})),
        // The handshake's counts first.
        (format!("&token={}", ann.access_token), json!({"token": "x"})),
    ] {
        let mut socket = opened(&app, &query).await;
        let (is_in, connected) = connect(&mut socket, &auth).await;
        assert!(is_in && connected["sid"].is_string(), "{query} {auth}: {connected}");
        socket.has_nothing().await;
        let profile = socket.acked("createGroup", json!({"name": "Hikers"})).await;
        assert_eq!(profile["group"]["createdBy"], ann.user_id);
        // A repeated packet has the same answer.
        assert_eq!(connect(&mut socket, &json!({})).await, (true, connected));
    }
}

#[tokio::test]
async fn a_client_that_does_not_say_who_it_is_is_told_why_and_closed() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let used = ticket(&ann).await;
    connect(&mut opened(&app, "").await, &json!({"ticket": used})).await;
    for (auth, code) in [
        (json!({}), "unauthenticated"),
        (json!({"token": ""}), "unauthenticated"),
        (json!({"token": "x"}), "unauthenticated"),
        (json!({"ticket": used}), "unauthenticated"),
        (json!({"ticket": "x", "token": ann.access_token}), "unauthenticated"),
        (json!({"token": 7}), "invalid_request"),
        (json!({"token": ["x"]}), "invalid_request"),
    ] {
        let mut socket = opened(&app, "").await;
        let (is_in, refusal) = connect(&mut socket, &auth).await;
        assert_eq!((is_in, &refusal["data"]["code"]), (false, &json!(code)), "{auth}: {refusal}");
        assert_eq!(refusal["message"], refusal["data"]["detail"], "{refusal}");
        assert_eq!(socket.closed().await, 1000, "{auth}");
    }
    let mut socket = opened(&app, "").await;
    socket.send_text("40").await;
    assert!(socket.text().await.starts_with("44{"), "a CONNECT without JSON is refused too");
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn a_handshake_without_eio_or_with_wrong_credentials_opens_no_socket() {
    let app = TestApp::start().await;
    let url = socket_io_url(&app.sockets);
    for query in ["&token=x", "&token=", "&ticket=x"] {
        let refused = Socket::open_socket_io(&format!("{url}{query}"), None).await;
        let Err((status, body)) = refused else { panic!("{query} opened a socket") };
        assert_eq!((status, &body["code"]), (401, &json!("unauthenticated")), "{query}");
    }
    let Err((status, _)) = app.connect("").await else { panic!("no credentials open a plain socket") };
    assert_eq!(status, 401);
    let Err((status, body)) = app.connect("?EIO=3").await else { panic!("an old client is let in") };
    assert_eq!((status, &body["errors"][0]["field"]), (400, &json!("EIO")), "{body}");
}

#[tokio::test]
async fn a_page_can_read_why_another_transport_is_refused() {
    let app = TestApp::start().await;
    let request = app.http.get(format!("{}/socket.io/?EIO=4&transport=polling", app.url));
    let answer = request.header("origin", "https://a.example").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_socket_without_a_user_may_do_nothing_and_is_nobodys() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut watching = ann.connect().await.hearing_presence();
    let mut waiting = opened(&app, &format!("&token={}", bob.access_token)).await;
    let of_bob = format!("SELECT COUNT(*) FROM connections WHERE user_id = '{}'", bob.user_id);
    assert_eq!(app.rows::<u64>(&of_bob).await, [0]);
    // It gets no push, and nobody sees its user online, before its first packet.
    ann.says(room, "Hello").await.created();
    assert_eq!(watching.receives("receiveMessage").await["message"]["content"], "Hello");
    assert!(connect(&mut waiting, &json!({})).await.0);
    assert_eq!(watching.receives("presence").await, json!({"userId": bob.user_id, "online": true}));
    assert_eq!(app.rows::<u64>(&of_bob).await, [1]);

    for text in [
        format!("421{}", json!(["sendMessage", {"roomId": room, "content": "x"}])),
        "421[\"ping\"]".to_owned(),
        "42[\"typing\",{}]".to_owned(),
        "431[]".to_owned(),
        "41/admin,".to_owned(),
        "49".to_owned(),
        "451-[\"x\"]".to_owned(),
        "hello".to_owned(),
        "{\"event\":\"ping\"}".to_owned(),
    ] {
        let mut waiting = opened(&app, &format!("&token={}", bob.access_token)).await;
        waiting.send_text(text.clone()).await;
        let answer = waiting.text().await;
        assert!(answer.contains("unauthenticated"), "{text}: {answer}");
        let closing = waiting.text().await;
        assert!(closing.contains(r#"{"reason":"unknownSocket","reconnect":true"#), "{closing}");
        assert_eq!(closing.starts_with("42[\"closing\","), text.starts_with('4'), "{text}: {closing}");
        assert_eq!(waiting.closed().await, 1000, "{text}");
    }
    assert_eq!(bob.reads(room).await.iter().filter(|(_, content)| content == "x").count(), 0);
}

#[tokio::test]
async fn a_socket_is_closed_when_it_does_not_say_who_it_is_within_ten_seconds() {
    let app = TestApp::start().await;
    let began = Instant::now();
    let mut waiting = opened(&app, "").await;
    // A packet for another namespace is refused, and buys no time.
    waiting.send_text("40/admin,{}").await;
    let refusal = waiting.text().await;
    assert!(refusal.starts_with(r#"44/admin,{"message":"Invalid namespace","data":{"#), "{refusal}");
    assert_eq!(waiting.closed().await, 1000);
    let waited = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(16)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_client_that_comes_too_late_or_not_for_the_first_time_is_closed_without_a_word() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let late = ticket(&ann).await;
    let mut socket = opened(&app, "").await;
    app.run("UPDATE handshakes SET created_at = created_at - INTERVAL 10 SECOND", ()).await;
    // After a CONNECT_ERROR a client would not come back by itself.
    socket.send_text(format!("40{}", json!({"ticket": late}))).await;
    assert_eq!(socket.until_closed().await, (Vec::new(), 1000));
    let mut again = opened(&app, "").await;
    assert!(connect(&mut again, &json!({"ticket": late})).await.0, "the ticket was not used up");
    // One whose row the job, or a refused try, has just deleted.
    let mut socket = opened(&app, "").await;
    app.run("DELETE FROM handshakes", ()).await;
    socket.send_text(format!("40{}", json!({"token": ann.access_token}))).await;
    assert_eq!(socket.until_closed().await, (Vec::new(), 1000));
}

#[tokio::test]
async fn an_address_makes_so_many_handshakes_without_credentials_and_a_session_so_many_with_them() {
    let app = TestApp::with(&[("HANDSHAKE_LIMIT", "3/600")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let url = socket_io_url(&app.sockets);
    let anns = format!("{url}&token={}", ann.access_token);
    for url in [&url, &anns] {
        let opening = join_all((0..12).map(|_| Socket::open_socket_io(url, None))).await;
        let (open, refused): (Vec<_>, Vec<_>) = opening.into_iter().partition(Result::is_ok);
        assert_eq!(open.len(), 3);
        for refusal in refused {
            let Err((status, body)) = refusal else { unreachable!() };
            assert_eq!((status, &body["code"]), (429, &json!("rate_limited")));
            assert!((1..=600).contains(&body["retryAfter"].as_u64().unwrap()), "{body}");
        }
        // A closed socket still counts.
        for socket in open {
            socket.unwrap().close().await;
        }
        assert!(Socket::open_socket_io(url, None).await.is_err());
    }
    // Nobody else is concerned, and plain sockets do not count.
    let mut bobs = opened(&app, &format!("&token={}", bob.access_token)).await;
    assert!(connect(&mut bobs, &json!({})).await.0);
    ann.connect().await.has_nothing().await;
    until(&app, 0, "handshakes").await;

    // A handshake does not count once its client has signed in, even if its first packet is repeated.
    app.run("DELETE FROM rate_limits", ()).await;
    for _ in 0..5 {
        let mut socket = opened(&app, "").await;
        for _ in 0..4 {
            assert!(connect(&mut socket, &json!({"token": ann.access_token})).await.0);
        }
    }
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(opened(&app, "").await);
    }
    for waiting in &mut open {
        for _ in 0..9 {
            waiting.send_text(format!("40{}", json!({"token": ann.access_token}))).await;
        }
        for _ in 0..9 {
            assert!(waiting.text().await.starts_with("40{"));
        }
    }
    let opening = join_all((0..12).map(|_| Socket::open_socket_io(&url, None))).await;
    assert_eq!(opening.iter().filter(|opened| opened.is_ok()).count(), 3, "each gave back one");
}

#[tokio::test]
async fn a_first_packet_races_with_itself_with_the_end_of_its_socket_and_with_a_logout() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let auth = json!({"token": ann.access_token});
    let of_ann = format!("connections WHERE user_id = '{}'", ann.user_id);
    // Whatever comes first, nothing is left of a socket that has closed.
    join_all((0..8).map(async |_| {
        let mut socket = opened(&app, "").await;
        socket.send_text(format!("40{auth}")).await;
        socket.close().await;
    }))
    .await;
    until(&app, 0, "handshakes").await;
    until(&app, 0, &of_ann).await;
    // Several of them at once let the client in once, and each is answered so.
    join_all((0..8).map(async |_| {
        let mut socket = opened(&app, "").await;
        for _ in 0..4 {
            socket.send_text(format!("40{auth}")).await;
        }
        for _ in 0..4 {
            let answer = socket.text().await;
            assert!(answer.starts_with("40{"), "{answer}");
        }
        socket.has_nothing().await;
        socket.close().await;
    }))
    .await;
    // A session that ends meanwhile lets nobody in.
    let bob = app.user("bob").await;
    let mut waiting = opened(&app, &format!("&token={}", bob.access_token)).await;
    bob.post("/api/auth/logout", json!({})).await.no_content();
    let (is_in, refusal) = connect(&mut waiting, &json!({})).await;
    assert_eq!((is_in, &refusal["data"]["code"]), (false, &json!("unauthenticated")));
    assert_eq!(waiting.closed().await, 1000);
}

#[tokio::test]
async fn a_text_is_a_packet_or_a_frame_whatever_the_socket_speaks() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut plain = ann.connect().await;
    for (packet, answer) in [
        ("421[\"ping\"]", "431[{\"ok\":true,\"time\":"),
        ("421[\"nope\"]", "431[{\"ok\":false,\"error\":{"),
        ("40{}", "40{\"sid\":"),
        ("40/admin,", "44/admin,{"),
        ("49", "42[\"error\",{"),
        ("2", "{\"event\":\"error\","),
        ("4", "{\"event\":\"error\","),
        ("hello", "{\"event\":\"error\","),
    ] {
        plain.send_text(packet).await;
        let answered = plain.text().await;
        assert!(answered.starts_with(answer), "{packet}: {answered}");
    }
    plain.has_nothing().await;
    for end in ["1", "41"] {
        let mut plain = ann.connect().await;
        plain.send_text(end).await;
        assert_eq!(plain.closed().await, 1000, "{end}");
    }
    let mut packets = ann.connect_socket_io().await;
    packets.send_text(r#"{"event": "ping", "ref": 1}"#).await;
    assert!(packets.text().await.starts_with(r#"{"event":"pong","#));
    packets.has_nothing().await;
}

#[tokio::test]
async fn answers_come_to_the_callback_and_without_one_as_events() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect_socket_io().await;
    let sent = socket.acked("sendMessage", json!({"roomId": room, "content": "Hello"})).await;
    assert_eq!((&sent["roomId"], &sent["message"]["content"]), (&json!(room), &json!("Hello")));
    socket.refused("sendMessage", json!({"roomId": room}), "invalid_request").await;
    for (text, event) in [
        (json!(["sendMessage", {"roomId": room, "content": "Hello"}]), "ack"),
        (json!(["sendMessage", {"roomId": room}]), "error"),
        (json!(["sync", {"rooms": {room.to_string(): 0}}]), "sync"),
        (json!(["ping"]), "pong"),
        (json!(["ping", null]), "pong"),
    ] {
        socket.send_text(format!("42{text}")).await;
        let frame = socket.receive().await;
        assert_eq!((&frame["event"], frame.get("ref")), (&json!(event), None), "{text}: {frame}");
    }
    // These are answered on request only, as frames are.
    socket.send_text(format!("42{}", json!(["typing", {"roomId": room}]))).await;
    socket.send_text("42[\"typing\",{}]").await;
    socket.has_nothing().await;
    assert_eq!(socket.acked("typing", json!({"roomId": room})).await["roomId"], room);
}

#[tokio::test]
async fn a_room_of_plain_sockets_and_of_socket_io_hears_the_same() {
    hear_the_same(TestApp::start().await).await;
}

#[tokio::test]
async fn a_large_audience_hears_the_same_through_the_queue() {
    let everybody_is_many = |config: &mut Config| {
        config.direct_posts = DirectPosts { before_answer: 0, beside_answer: 0 };
    };
    hear_the_same(TestApp::adjusted(everybody_is_many).await).await;
}

async fn hear_the_same(app: TestApp) {
    let (ann, bob, eve) = (app.prime("ann").await, app.prime("bob").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let (mut plain, mut packets) = (bob.connect().await, bob.connect_socket_io().await);
    let (mut anns, mut eves) = (ann.connect_socket_io().await, eve.connect_socket_io().await);
    let content = "\u{1f44d} \"42[\" \\ \u{2028}";
    let sent = anns.acked("sendMessage", json!({"roomId": room, "content": content})).await;
    let message = sent["message"]["messageId"].clone();
    let acts = [
        ("reactMessage", json!({"messageId": message, "reaction": "\u{1f44d}"}), "messageReaction"),
        ("editMessage", json!({"messageId": message, "content": "Coffee"}), "messageEdited"),
        ("typing", json!({"roomId": room}), "typing"),
        ("deleteMessage", json!({"messageId": message}), "messageDeleted"),
        ("createGroup", json!({"name": "Hikers", "members": [bob.user_id]}), "groupCreated"),
        ("leaveRoom", json!({"roomId": room}), "userLeft"),
        ("joinRoom", json!({"roomId": room, "password": ROOM_PASSWORD}), "userJoined"),
    ];
    let heard = (plain.receives("receiveMessage").await, packets.receives("receiveMessage").await);
    assert_eq!((&heard.0["message"]["content"], &heard.0), (&json!(content), &heard.1));
    for (event, data, push) in acts {
        anns.acked(event, data).await;
        assert_eq!(plain.receives(push).await, packets.receives(push).await, "{push}");
    }
    plain.acked("sendMessage", json!({"roomId": room, "content": "Hello"})).await;
    for socket in [&mut packets, &mut anns] {
        assert_eq!(socket.receives("receiveMessage").await["message"]["content"], "Hello");
    }
    ann.writes_to(&bob, "Just you").await.created();
    for socket in [&mut plain, &mut packets, &mut anns] {
        assert_eq!(socket.receives("receiveMessage").await["message"]["content"], "Just you");
    }
    eves.has_nothing().await;
}

#[tokio::test]
async fn a_socket_that_must_not_come_back_is_told_so_by_a_packet() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut revoked = ann.connect_socket_io().await;
    ann.post("/api/auth/logout", json!({})).await.no_content();
    let (frames, code) = revoked.until_closed().await;
    let events: Vec<_> = frames.iter().map(|frame| frame["event"].as_str().unwrap()).collect();
    assert_eq!((events, code), (vec!["sessionRevoked", "DISCONNECT"], 1000));

    // One that the client ends is closed, in either way.
    for end in ["41", "1"] {
        let bob = app.user(&format!("bob{end}")).await;
        let mut socket = bob.connect_socket_io().await;
        socket.send_text(end).await;
        assert_eq!(socket.until_closed().await, (Vec::new(), 1000));
        until(&app, 0, &format!("connections WHERE user_id = '{}'", bob.user_id)).await;
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_sockets_is_closed_for_good_and_those_of_a_server_that_stops_come_back() {
    let app = TestApp::with(&[("MAX_SOCKETS", "2")]).await;
    let ann = app.user("ann").await;
    let mut oldest = ann.connect_socket_io().await;
    let (_plain, mut newest) = (ann.connect().await, ann.connect_socket_io().await);
    let (frames, code) = oldest.until_closed().await;
    assert_eq!(
        (&frames[0]["data"]["reason"], &frames[1]["event"]),
        (&json!("tooManySockets"), &json!("DISCONNECT"))
    );
    assert_eq!((frames.len(), code), (2, 1000));
    app.stop();
    let (frames, code) = newest.until_closed().await;
    assert_eq!((frames.len(), &frames[0]["data"]["reason"], code), (1, &json!("serverRestart"), 1001));
}

#[tokio::test]
async fn packets_count_for_the_limits_as_frames_do() {
    let app = TestApp::with(&[("FRAME_LIMIT", "4/60"), ("MESSAGE_LIMIT", "1/60")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect_socket_io().await;
    let hello = json!({"roomId": room, "content": "Hello"});
    socket.acked("sendMessage", hello.clone()).await;
    socket.refused("sendMessage", hello, "rate_limited").await;
    let mut codes = Vec::new();
    for text in ["49", "42[", "43", "42/a,[\"ping\"]", "41/a,", "42[\"ping\"]", "451-[]"] {
        socket.send_text(text).await;
        let frame = socket.receive().await;
        codes.push(frame["data"]["code"].as_str().unwrap_or("pong").to_owned());
    }
    // Making the room was one of the four.
    assert!(codes.iter().filter(|code| *code == "rate_limited").count() >= 3, "{codes:?}");
    assert_eq!(codes.last().unwrap(), "rate_limited", "{codes:?}");
    // A repeated CONNECT counts too.
    let (is_in, refusal) = connect(&mut socket, &json!({})).await;
    assert_eq!((is_in, &refusal["data"]["code"]), (false, &json!("rate_limited")));
}

#[tokio::test]
async fn an_event_takes_no_more_statements_than_a_frame() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let (mut plain, mut packets) = (ann.connect().await, ann.connect_socket_io().await);
    let hello = json!({"roomId": room, "content": "Hello"});
    // The first message begins a window of its rate limit, and so does the first `ping`.
    plain.acked("sendMessage", hello.clone()).await;
    packets.receives("receiveMessage").await;
    packets.has_nothing().await;
    statements.take();
    plain.acked("sendMessage", hello.clone()).await;
    let by_frame = statements.take();
    packets.receives("receiveMessage").await;
    packets.acked("sendMessage", hello).await;
    let by_packet = statements.take();
    assert_eq!((by_frame.len(), by_packet.len()), (3, 3), "{by_frame:?} {by_packet:?}");
    for text in ["42[\"ping\"]", "49", "42/a,[\"ping\"]"] {
        packets.send_text(text).await;
        packets.receive().await;
        let taken = statements.take();
        assert_eq!(taken.len(), 2, "{text}: {taken:?}");
    }
    // Nothing is asked of the database for what it cannot have.
    packets.send_text("40/a,").await;
    assert!(packets.text().await.starts_with("44/a,"));
    assert_eq!(statements.take(), Vec::<String>::new());
    // A handshake counts and stores itself. A socket without a user is looked up once.
    let mut waiting = opened(&app, "").await;
    let taken = statements.take();
    assert_eq!(taken.len(), 2, "{taken:?}");
    waiting.send_text("49").await;
    waiting.closed().await;
    let taken = statements.take();
    assert!(
        taken.iter().filter(|statement| statement.starts_with("SELECT u.user_id")).count() == 1,
        "{taken:?}"
    );
}

#[tokio::test]
async fn a_handshake_and_a_first_packet_survive_a_broken_connection_and_say_when_there_is_no_database() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.user("ann").await;
    let auth = json!({"token": ann.access_token});
    statements.lose_the_response_to("INSERT INTO handshakes");
    let mut socket = opened(&app, "").await;
    assert!(statements.has_lost() && connect(&mut socket, &auth).await.0);
    // Nothing is left of a handshake that could not be stored.
    statements.fail("INSERT INTO handshakes", 1, (1146, "42S02"));
    let refused = Socket::open_socket_io(&socket_io_url(&app.sockets), None).await;
    assert_eq!(refused.err().unwrap().0, 500);
    until(&app, 0, "handshakes").await;
    let mut socket = opened(&app, "").await;
    statements.fail("SELECT address, session_id FROM handshakes", 9, (1040, "08004"));
    let (is_in, refusal) = connect(&mut socket, &auth).await;
    assert_eq!((is_in, &refusal["data"]["code"]), (false, &json!("database_unavailable")));
    assert_eq!(socket.closed().await, 1000);
    // An event is told so in its ACK, and the socket stays.
    statements.fail("nothing", 0, (1040, "08004"));
    let mut socket = ann.connect_socket_io().await;
    statements.fail("SELECT u.user_id", 9, (1040, "08004"));
    socket.refused("ping", json!({}), "database_unavailable").await;
    statements.fail("nothing", 0, (1040, "08004"));
    socket.has_nothing().await;
}

/// Sockets of which nothing can be posted to one that has no user yet, and which close none the first times.
#[derive(Debug)]
struct Unreachable {
    sockets: Arc<Connections>,
    posts: Arc<AtomicUsize>,
    closes: AtomicUsize,
}

impl Sockets for Unreachable {
    fn post(&self, _: &str, _: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
        self.posts.fetch_add(1, SeqCst);
        async { Err(NotDelivered::Failed) }.boxed()
    }

    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
        match self.closes.fetch_add(1, SeqCst) {
            0 => async { Err(NotDelivered::Throttled) }.boxed(),
            1 => async { Err(NotDelivered::Failed) }.boxed(),
            _ => self.sockets.close(connection_id),
        }
    }
}

#[tokio::test]
async fn an_open_packet_that_does_not_arrive_is_given_up_and_a_close_that_fails_is_repeated() {
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = posts.clone();
    let app = TestApp::pushing(
        |_| (),
        move |sockets| Arc::new(Unreachable { sockets, posts: counted, closes: AtomicUsize::new(0) }),
    )
    .await;
    let opened = async || Socket::connect(&socket_io_url(&app.sockets), None).await.unwrap();
    // A socket without a user is closed even if something else has erased its row.
    let mut erased = opened().await;
    app.run("DELETE FROM handshakes", ()).await;
    let mut socket = opened().await;
    opened().await.close().await;
    assert_eq!((socket.closed().await, erased.closed().await), (1000, 1000));
    // Four for the one that stays, and at most two for each that does not wait any more.
    assert!((4..=8).contains(&posts.load(SeqCst)), "{} posts", posts.load(SeqCst));
    until(&app, 0, "handshakes").await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_where_every_notice_goes_through_the_queue() {
    let everybody_is_many = |config: &mut Config| {
        config.direct_posts = DirectPosts { before_answer: 0, beside_answer: 0 };
    };
    let app = TestApp::adjusted(everybody_is_many).await;
    let mut socket = opened(&app, "").await;
    let (is_in, refusal) = connect(&mut socket, &json!({"token": "x"})).await;
    assert_eq!((is_in, &refusal["data"]["code"]), (false, &json!("unauthenticated")));
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn the_sweep_erases_what_a_server_that_was_killed_has_left() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO handshakes (connection_id, address, created_at) VALUES
         ('left=', '127.0.0.1', UTC_TIMESTAMP(3) - INTERVAL 2 MINUTE), ('new=', '127.0.0.1', UTC_TIMESTAMP(3))",
        (),
    )
    .await;
    assert_eq!(app.invoke("sweep", json!({})).await.unwrap()["handshakes"], 1);
    assert_eq!(app.rows::<String>("SELECT connection_id FROM handshakes").await, ["new="]);
}

#[tokio::test]
async fn a_job_may_be_done_twice_and_closes_no_socket_that_has_a_user() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.connect_socket_io().await;
    let of_ann = format!("SELECT connection_id FROM connections WHERE user_id = '{}'", ann.user_id);
    let id = app.rows::<String>(&of_ann).await.remove(0);
    for step in [json!("close"), json!("close"), json!({"open": 4})] {
        let job = json!({"handshake": id, "step": step}).to_string();
        let answer =
            app.invoke("presence", json!({"Records": [{"messageId": "1", "body": job}]})).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "{step}");
    }
    // A second open packet, which a client passes over.
    assert!(socket.text().await.starts_with("0{"));
    socket.has_nothing().await;
}
