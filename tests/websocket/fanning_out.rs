//! Fan-out: each socket receives a push once, and no socket waits for another.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use gateway::connections::Connections;
use gateway::invoke::{Failure, Functions, InProcess};
use jsonwebtoken::Algorithm;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::base::push::{NotDelivered, Sockets};
use shared::config::{Config, DirectPosts};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::harness::{Person, ROOM_PASSWORD, SECRET, Socket, Statements, TestApp, claims, signed};
use crate::uploads::PNG;

/// The open sockets. Posts to the socket `held` wait for a permit of `let_go`.
#[derive(Debug)]
struct Watched {
    sockets: Arc<Connections>,
    held: Mutex<Option<String>>,
    let_go: Semaphore,
    /// How many posts found a socket that does not read.
    throttled: Semaphore,
}

impl Sockets for Watched {
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
        let is_held = self.held.lock().unwrap().as_deref() == Some(connection_id);
        let connection_id = connection_id.to_owned();
        Box::pin(async move {
            if is_held {
                self.let_go.acquire().await.unwrap().forget();
            }
            let posted = self.sockets.post(&connection_id, frame).await;
            self.throttled.add_permits(usize::from(posted == Err(NotDelivered::Throttled)));
            posted
        })
    }

    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
        self.sockets.close(connection_id)
    }
}

async fn watched() -> (TestApp, Arc<Watched>) {
    watched_with(|_| ()).await
}

async fn watched_with(adjust: impl FnOnce(&mut Config)) -> (TestApp, Arc<Watched>) {
    let mut watched = None;
    let app = TestApp::pushing(adjust, |sockets| {
        let (held, let_go, throttled) = (Mutex::default(), Semaphore::new(0), Semaphore::new(0));
        watched.insert(Arc::new(Watched { sockets, held, let_go, throttled })).clone()
    })
    .await;
    (app, watched.unwrap())
}

/// A function posts to no socket but its own, so every audience is one for the queue.
fn everybody_is_many(config: &mut Config) {
    config.direct_posts = DirectPosts { before_answer: 0, beside_answer: 0 };
}

async fn sockets_of(app: &TestApp, person: &Person) -> Vec<String> {
    app.rows(&format!("SELECT connection_id FROM connections WHERE user_id = '{}'", person.user_id)).await
}

#[tokio::test]
async fn the_ack_does_not_wait_for_a_post_to_another_member() {
    let (app, watched) = watched().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    app.set_role(&ann, "admin").await;
    let room = bob.opens_a_room().await;
    ann.joins(room).await.created();
    let group = bob.groups(&[&ann]).await;
    let message = ann.says(room, "Tea is ready").await.created()["message"]["messageId"].clone();
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    *watched.held.lock().unwrap() = sockets_of(&app, &bob).await.pop();

    let acts = [
        ("sendMessage", json!({"roomId": room, "content": "Hello"}), "receiveMessage"),
        ("groupMessage", json!({"groupId": group, "content": "Hello"}), "receiveMessage"),
        ("editMessage", json!({"messageId": message, "content": "Coffee is ready"}), "messageEdited"),
        ("reactMessage", json!({"messageId": message, "reaction": "\u{1f44d}"}), "messageReaction"),
        ("deleteMessage", json!({"messageId": message}), "messageDeleted"),
        ("typing", json!({"roomId": room}), "typing"),
        ("stopTyping", json!({"roomId": room}), "stopTyping"),
        ("readMessage", json!({"roomId": room, "seq": 3}), "messageRead"),
        ("newChatRoom", json!({"roomName": "Hikes", "invitedUsers": [bob.user_id]}), "newChatRoom"),
        ("createGroup", json!({"name": "Hikers", "members": [bob.user_id]}), "groupCreated"),
        ("leaveRoom", json!({"roomId": room}), "userLeft"),
        ("joinRoom", json!({"roomId": room, "password": ROOM_PASSWORD}), "userJoined"),
    ];
    for (event, data, push) in acts {
        anns.acked(event, data).await;
        // If the ack had waited for the post to time out, this permit would let nothing go.
        watched.let_go.add_permits(1);
        bobs.receives(push).await;
    }
}

/// The open sockets, of which all are throttled. Each post to one adds a permit.
#[derive(Debug)]
struct Throttled {
    sockets: Arc<Connections>,
    posts: Semaphore,
}

impl Sockets for Throttled {
    fn post(&self, _: &str, _: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
        self.posts.add_permits(1);
        Box::pin(std::future::ready(Err(NotDelivered::Throttled)))
    }

    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
        self.sockets.close(connection_id)
    }
}

#[tokio::test]
async fn the_answer_of_a_rest_send_does_not_wait_for_members_who_do_not_read() {
    let mut throttled = None;
    let app = TestApp::pushing(
        |_| (),
        |sockets| throttled.insert(Arc::new(Throttled { sockets, posts: Semaphore::new(0) })).clone(),
    )
    .await;
    let posts = &throttled.unwrap().posts;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let _bobs = bob.connect().await;
    ann.says(room, "Hello").await.created();
    // The post is still being tried.
    posts.acquire_many(posts.available_permits() as u32).await.unwrap().forget();
    timeout(Duration::from_secs(20), posts.acquire()).await.expect("no further try").unwrap().forget();
}

#[tokio::test]
async fn a_socket_that_does_not_read_blocks_no_other_and_ends_with_its_session() {
    let (app, watched) = watched().await;
    let (ann, bob, cid) = (app.prime("ann").await, app.prime("bob").await, app.prime("cid").await);
    let room = ann.opens_a_room().await;
    for person in [&bob, &cid] {
        person.joins(room).await.created();
    }
    let (mut anns, _bobs, mut cids) = (ann.connect().await, bob.connect().await, cid.connect().await);
    let mut says = async |content: String| {
        let ack = anns.acked("sendMessage", json!({"roomId": room, "content": content})).await;
        assert_eq!(cids.receives("receiveMessage").await, ack);
    };
    let mut sent = 0;
    while watched.throttled.available_permits() == 0 {
        says("\u{4e86}".repeat(8000)).await;
        sent += 1;
        assert!(sent < 2000, "a socket that does not read has a queue of {sent} messages");
    }
    for number in 0..20 {
        says(number.to_string()).await;
    }
    // A close reaches it nevertheless.
    bob.post("/api/auth/logout", json!({})).await.no_content();
    let gone = async {
        while !sockets_of(&app, &bob).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("the socket is not closed");
}

/// Adds `members` members to a room, and opens a socket for each of the first `sockets` of them.
pub async fn crowd(app: &TestApp, ann: &Person, room: u64, members: u32, sockets: usize) -> Vec<Socket> {
    let many =
        format!("WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {members})");
    let rows = [
        format!(
            "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
             {many} SELECT CONCAT('m', n), 1, CONCAT('m', n), '', 'user', FALSE, UTC_TIMESTAMP(3) FROM many"
        ),
        format!(
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             {many} SELECT {room}, CONCAT('m', n), 'member', 0, UTC_TIMESTAMP(3), 1 FROM many"
        ),
        format!("UPDATE rooms SET member_count = member_count + {members} WHERE id = {room}"),
        format!(
            "INSERT INTO sessions (session_id, user_id, created_at, expires_at)
             {many} SELECT CONCAT('session', n), CONCAT('m', n), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 DAY FROM many"
        ),
    ];
    for sql in rows {
        app.run(&sql, ()).await;
    }
    join_all((1..=sockets).map(async |n| {
        let mut claims = claims(&ann.access_token);
        (claims["sub"], claims["sid"]) = (json!(format!("m{n}")), json!(format!("session{n}")));
        let token = signed(Algorithm::HS256, &claims, SECRET);
        app.connect(&format!("?token={token}")).await.expect("the socket does not open")
    }))
    .await
}

/// The statements of a send by frame and of one by REST, in a room of `members` members of whom `others` have a
/// socket besides the sender. Every socket receives each message once.
async fn statements_of_sending(members: u32, others: usize) -> [Vec<String>; 2] {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    app.set_role(&ann, "admin").await;
    let room = ann.makes_a_channel("Everybody").await;
    let mut anns = ann.connect().await;
    let mut sockets = crowd(&app, &ann, room, members - 1, others).await;
    assert_eq!(
        app.rows::<u32>(&format!("SELECT member_count FROM rooms WHERE id = {room}")).await,
        [members]
    );
    let users: BTreeSet<String> =
        app.rows("SELECT DISTINCT user_id FROM connections").await.into_iter().collect();
    assert_eq!(users.len(), others + 1);
    // The first message starts the sender's rate limit window.
    anns.acked("sendMessage", json!({"roomId": room, "content": "First"})).await;
    statements.take();

    let by_frame = anns.acked("sendMessage", json!({"roomId": room, "content": "Hello"})).await;
    let taken = statements.take();
    let by_rest = ann.says(room, "Hello again").await.created();
    let taken = [taken, statements.take()];
    assert_eq!(anns.receives("receiveMessage").await["message"], by_rest["message"]);
    anns.has_nothing().await;
    let received = join_all(sockets.iter_mut().map(async |socket| {
        let received = socket.rest().await;
        received.iter().map(|frame| frame["data"]["message"]["content"].clone()).collect::<Vec<_>>()
    }));
    let said: Vec<Value> = vec![json!("First"), by_frame["message"]["content"].clone(), json!("Hello again")];
    assert_eq!(received.await, vec![said; others]);
    taken
}

/// The text with `0` in place of each number, which may be hexadecimal.
fn without_numbers(text: &str) -> String {
    let parts = text.split(|c: char| c.is_ascii_hexdigit()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("0")
}

#[tokio::test]
async fn a_message_to_a_thousand_members_takes_no_more_statements_than_one_to_two() {
    let small = statements_of_sending(2, 1).await;
    assert_eq!(small.each_ref().map(Vec::len), [3, 4], "{small:?}");
    // One more would make the audience of the send by REST a large one.
    let large = statements_of_sending(1000, 199).await;
    let shapes = [small, large]
        .map(|taken| taken.map(|statements| statements.join("\n")).map(|text| without_numbers(&text)));
    assert_eq!(shapes[0], shapes[1]);
}

/// Functions of which `fan-out` fails the first times, after it has done its work or before.
struct Failing {
    functions: InProcess,
    calls: Arc<AtomicUsize>,
}

impl Functions for Failing {
    fn invoke(
        &self,
        name: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        let call = self.functions.invoke(name, request_id, event);
        if name != "fan-out" {
            return call;
        }
        match self.calls.fetch_add(1, SeqCst) {
            0 => Box::pin(async { Err(Failure::Error) }),
            1 => Box::pin(async {
                call.await?;
                Err(Failure::Timeout)
            }),
            _ => call,
        }
    }
}

#[tokio::test]
async fn a_large_audience_is_reached_through_the_queue_and_each_socket_once() {
    let calls = Arc::new(AtomicUsize::new(2));
    let counted = calls.clone();
    let app = TestApp::wrapped(
        |config| config.direct_posts = DirectPosts { before_answer: 200, beside_answer: 300 },
        move |functions| Arc::new(Failing { functions, calls: counted }),
    )
    .await;
    let ann = app.prime("ann").await;
    app.set_role(&ann, "admin").await;
    let room = ann.makes_a_channel("Everybody").await;
    let mut anns = ann.connect().await;
    let mut sockets = crowd(&app, &ann, room, 300, 300).await;
    // 301 sockets, of which the sender's own is left out: not too many beside the answer.
    let first = anns.acked("sendMessage", json!({"roomId": room, "content": "First"})).await;
    for socket in &mut sockets {
        assert_eq!(socket.receives("receiveMessage").await, first);
    }
    assert_eq!(calls.load(SeqCst), 2);
    let second = ann.says(room, "Second").await.created();
    for socket in sockets.iter_mut().chain([&mut anns]) {
        assert_eq!(socket.receives("receiveMessage").await["message"], second["message"]);
        socket.has_nothing().await;
    }
    // 250 sockets, and the other 51.
    assert_eq!(calls.load(SeqCst), 4);
}

/// The room's numbers for `ROOM_POSTS_LIMIT`: the posts in the last window, and the audience.
async fn posts_and_audience(app: &TestApp, room: u64) -> (u64, u32) {
    let sql = format!("SELECT posts_tally & 1048575, audience FROM rooms WHERE id = {room}");
    app.rows(&sql).await[0]
}

/// Opens a window of `ROOM_POSTS_LIMIT` that lasts longer than the test, and in which there were these posts.
async fn opens_a_window(app: &TestApp, room: u64, posts: u64) {
    let end = chrono::Utc::now().timestamp_millis() as u64 + 3_600_000;
    app.run("UPDATE rooms SET posts_tally = ? WHERE id = ?", ((end << 20) + posts, room)).await;
}

async fn ends_the_window(app: &TestApp, room: u64) {
    app.run("UPDATE rooms SET posts_tally = 0 WHERE id = ?", (room,)).await;
}

/// A channel with 31 sockets, of which one is that of the owner, and in which there is one message.
async fn room_of_31_sockets(limit: &str) -> (TestApp, Person, u64, Vec<Socket>) {
    let app = TestApp::with(&[("ROOM_POSTS_LIMIT", limit)]).await;
    let ann = app.prime("ann").await;
    app.set_role(&ann, "admin").await;
    let room = ann.makes_a_channel("Everybody").await;
    let mut sockets = vec![ann.connect().await];
    sockets.extend(crowd(&app, &ann, room, 30, 30).await);
    ann.says(room, "First").await.created();
    for socket in &mut sockets {
        socket.receives("receiveMessage").await;
    }
    (app, ann, room, sockets)
}

#[tokio::test]
async fn concurrent_messages_to_a_room_are_refused_exactly_above_its_limit_of_posts() {
    let (app, ann, room, mut sockets) = room_of_31_sockets("310").await;
    assert_eq!(posts_and_audience(&app, room).await, (0, 31));
    for round in 1..=2 {
        opens_a_window(&app, room, 0).await;
        let by_rest = join_all((0..15).map(|_| ann.says(room, "Hello")));
        let anns = &mut sockets[0];
        let by_frame = async {
            for _ in 0..15 {
                anns.send("sendMessage", json!({"roomId": room, "content": "Hello"})).await;
            }
            let mut acks = 0;
            for _ in 0..15 {
                let frame = loop {
                    let frame = anns.receive().await;
                    if frame.get("ref").is_some() {
                        break frame;
                    }
                };
                match frame["event"].as_str() {
                    Some("ack") => acks += 1,
                    _ => assert_eq!(
                        (&frame["data"]["code"], &frame["data"]["retryAfter"]),
                        (&json!("rate_limited"), &json!(1))
                    ),
                }
            }
            acks
        };
        let (by_rest, by_frame) = tokio::join!(by_rest, by_frame);
        let mut created = 0;
        for answer in by_rest {
            if answer.status == 201 {
                created += 1;
                continue;
            }
            assert_eq!(
                (&answer.headers["ratelimit-limit"], &answer.headers["retry-after"]),
                (&"310".parse().unwrap(), &"1".parse().unwrap())
            );
            answer.refused(429, "rate_limited");
        }
        // 31 posts each.
        assert_eq!(created + by_frame, 10);
        assert_eq!(posts_and_audience(&app, room).await, (310, 31));
        assert_eq!(ann.reads(room).await.len(), 1 + round * 10, "a refused message is not stored");
        ends_the_window(&app, room).await;
    }
    ann.says(room, "The next second").await.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_room_that_empties_is_not_limited_by_its_earlier_audience() {
    let (app, ann, room, _sockets) = room_of_31_sockets("40").await;
    let anns = format!("DELETE FROM connections WHERE user_id <> '{}'", ann.user_id);
    app.run(&anns, ()).await;
    ends_the_window(&app, room).await;
    ann.says(room, "Is anybody there?").await.created();
    // It was counted with the sockets of the message before.
    assert_eq!(posts_and_audience(&app, room).await, (31, 1));
    opens_a_window(&app, room, 30).await;
    for _ in 0..10 {
        ann.says(room, "Nobody").await.created();
    }
    ann.says(room, "Nobody").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_message_to_an_audience_above_the_limit_has_a_second_for_itself() {
    let (app, ann, room, mut sockets) = room_of_31_sockets("20").await;
    opens_a_window(&app, room, 0).await;
    let sent = ann.says(room, "Alone").await.created();
    for socket in &mut sockets {
        assert_eq!(socket.receives("receiveMessage").await["message"], sent["message"]);
    }
    ann.says(room, "Together").await.refused(429, "rate_limited");
    // One post is too many for another.
    opens_a_window(&app, room, 1).await;
    ann.says(room, "Together").await.refused(429, "rate_limited");
}

#[tokio::test]
async fn without_a_limit_no_post_is_counted() {
    let (app, ann, room, _sockets) = room_of_31_sockets("0").await;
    ann.says(room, "Hello").await.created();
    assert_eq!(posts_and_audience(&app, room).await, (0, 0));
}

#[tokio::test]
async fn everything_that_sends_to_a_room_counts_its_posts_and_is_refused_above_the_limit() {
    let app = TestApp::with(&[("ROOM_POSTS_LIMIT", "50"), ("MESSAGE_LIMIT", "1000/3600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let (tea, group) = (ann.opens_a_room().await, ann.groups(&[&bob]).await);
    let direct = ann.chats_with(&bob).await;
    let mut anns = ann.connect().await;
    let place = ann.posts_file(&app, tea, "image/png", PNG).await;
    let frame_place = ann.posts_file(&app, group, "image/png", PNG).await;
    let content = "Hello";
    let ways = [
        (tea, "/api/messages", json!({"roomId": tea, "content": content})),
        (group, "/api/messages", json!({"roomId": group, "content": content})),
        (tea, "/chats/send-message", json!({"chatId": tea, "content": content})),
        (direct, "/chats/send-message", json!({"to": bob.user_id, "content": content})),
        (tea, &format!("/uploads/{}/complete", place["uploadId"].as_str().unwrap()), json!({})),
        (tea, "sendMessage", json!({"roomId": tea, "content": content})),
        (group, "groupMessage", json!({"groupId": group, "content": content})),
        (group, "sendFile", json!({"uploadId": frame_place["uploadId"]})),
        (tea, "a form", json!({})),
    ];
    for (room, way, body) in ways {
        // The posts that are left are fewer than the sockets of the message before.
        app.run("UPDATE rooms SET audience = 20 WHERE id = ?", (room,)).await;
        opens_a_window(&app, room, 31).await;
        let length = ann.reads(room).await.len();
        let send = async |anns: &mut Socket| match way {
            "a form" => {
                let sent = ann.sends_file(room, "garden.png", "image/png", PNG).await;
                (sent.status, sent.json["code"].clone())
            }
            _ if way.starts_with('/') => {
                let sent = ann.post(way, body.clone()).await;
                (sent.status, sent.json["code"].clone())
            }
            _ => {
                let frame = anns.ask(way, body.clone()).await;
                let status = if frame["event"] == "ack" { 201 } else { 429 };
                (status, frame["data"]["code"].clone())
            }
        };
        assert_eq!(send(&mut anns).await, (429, json!("rate_limited")), "{way}");
        assert_eq!(ann.reads(room).await.len(), length, "{way}");
        assert_eq!(posts_and_audience(&app, room).await, (31, 20), "{way}");
        opens_a_window(&app, room, 30).await;
        assert_eq!(send(&mut anns).await, (201, Value::Null), "{way}");
        assert_eq!(posts_and_audience(&app, room).await, (50, 20), "{way}");
        anns.rest().await;
    }
    // Text counts for MESSAGE_LIMIT, refused or not: six ways of two sends, and the first message of the direct chat.
    let counted = format!(
        "SELECT tally & 1048575 FROM rate_limits WHERE name = 'message' AND subject = '{}'",
        ann.user_id
    );
    assert_eq!(app.rows::<u64>(&counted).await, [13]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_sender_to_a_large_audience_does_not_wait_for_the_posts() {
    let (app, watched) = watched_with(everybody_is_many).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    *watched.held.lock().unwrap() = sockets_of(&app, &bob).await.pop();
    ann.says(room, "Hello").await.created();
    // If the answer had waited for the post to time out, this permit would let nothing go.
    watched.let_go.add_permits(1);
    bobs.receives("receiveMessage").await;
}

#[tokio::test]
async fn a_job_that_fails_is_posted_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let wrap = move |functions| -> Arc<dyn Functions> { Arc::new(Failing { functions, calls: counted }) };
    let app = TestApp::wrapped(everybody_is_many, wrap).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    // It has no audience.
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    let sent = ann.says(room, "Hello").await.created();
    // The first call did nothing, and the second one failed after its posts.
    for _ in 0..2 {
        assert_eq!(bobs.receives("receiveMessage").await["message"], sent["message"]);
    }
    assert_eq!(calls.load(SeqCst), 3);
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_job_ends_the_sockets_that_are_gone() {
    let app = TestApp::adjusted(everybody_is_many).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    app.run(
        "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
         SELECT 'gone=', user_id, session_id, UTC_TIMESTAMP(3) - INTERVAL 2 MINUTE, UTC_TIMESTAMP(3) + INTERVAL 1 HOUR
         FROM sessions WHERE user_id = ?",
        (&bob.user_id,),
    )
    .await;
    ann.says(room, "Hello").await.created();
    let open = "SELECT COUNT(*) FROM connections WHERE expires_at > UTC_TIMESTAMP(3)";
    app.until(0, open).await;
}

#[tokio::test]
async fn a_session_that_ends_is_told_and_its_sockets_are_closed_through_the_queue_too() {
    let app = TestApp::adjusted(everybody_is_many).await;
    let ann = app.user("ann").await;
    let mut sockets = [ann.connect().await, ann.connect().await];
    ann.post("/api/auth/logout", json!({})).await.no_content();
    for socket in &mut sockets {
        socket.receives("sessionRevoked").await;
        assert_eq!(socket.closed().await, 1000);
    }
}

#[tokio::test]
async fn only_the_jobs_that_cannot_be_read_fail() {
    let app = TestApp::start().await;
    let records = json!([
        {"messageId": "good", "body": "[]"},
        {"messageId": "bad", "body": "{}"},
        {"messageId": "no JSON", "body": "hello"},
    ]);
    let done = app.invoke("fan-out", json!({"Records": records})).await.unwrap();
    let failed = json!([{"itemIdentifier": "bad"}, {"itemIdentifier": "no JSON"}]);
    assert_eq!(done, json!({"batchItemFailures": failed}));
    app.invoke("fan-out", json!({})).await.unwrap_err();
}
