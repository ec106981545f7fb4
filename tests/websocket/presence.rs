use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Person, Socket, TestApp};

/// A delay before friends are notified that a test can wait for, and one that no test waits for.
const SHORT: Duration = Duration::from_millis(50);
const ENDLESS: Duration = Duration::from_secs(3600);

async fn with_delay(delay: Duration) -> TestApp {
    TestApp::adjusted(|config| config.presence_hold = delay).await
}

async fn befriend(one: &Person, other: &Person) {
    one.post("/api/friend-requests", json!({"userId": other.user_id})).await.created();
    other.post("/api/friend-requests", json!({"userId": one.user_id})).await.created();
}

/// The friends Ann and Bob.
async fn friends(app: &TestApp) -> (Person, Person) {
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    befriend(&ann, &bob).await;
    (ann, bob)
}

fn presence(person: &Person, online: bool) -> Value {
    json!({"userId": person.user_id, "online": online})
}

/// Waits until a person has `count` rows in `table`.
async fn until(app: &TestApp, count: u64, table: &str, person: &Person) {
    app.until(count, &format!("SELECT COUNT(*) FROM {table} AND user_id = '{}'", person.user_id)).await;
}

/// The sockets that have not expired.
const OPEN: &str = "connections WHERE expires_at > UTC_TIMESTAMP(3)";
/// All sockets, including those whose `$disconnect` still waits.
const KNOWN: &str = "connections WHERE TRUE";
const SHOWN: &str = "presence WHERE TRUE";

/// All frames that a socket has received so far.
async fn received(socket: &mut Socket) -> Vec<Value> {
    socket.send("ping", json!({})).await;
    let mut frames = Vec::new();
    loop {
        let frame = socket.receive().await;
        if frame["event"] == "pong" {
            return frames;
        }
        frames.push(frame);
    }
}

#[tokio::test]
async fn friends_are_notified_when_the_first_socket_opens() {
    let app = TestApp::start().await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = [bob.connect().await.hearing_presence(), bob.connect().await.hearing_presence()];
    let mut anns = ann.connect().await.hearing_presence();
    for socket in &mut bobs {
        assert_eq!(socket.receives("presence").await, presence(&ann, true));
        socket.has_nothing().await;
    }
    anns.has_nothing().await;
}

#[tokio::test]
async fn friends_are_notified_when_the_last_socket_closes() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    for _ in 0..2 {
        let anns = ann.connect().await.hearing_presence();
        assert_eq!(bobs.receives("presence").await, presence(&ann, true));
        anns.close().await;
        assert_eq!(bobs.receives("presence").await, presence(&ann, false));
    }
    bobs.has_nothing().await;
}

#[tokio::test]
async fn only_friends_are_notified() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = friends(&app).await;
    let (asking, rejected, stranger) = (app.user("cat").await, app.user("dan").await, app.user("eve").await);
    for asker in [&asking, &rejected] {
        let request = asker.post("/api/friend-requests", json!({"userId": ann.user_id})).await.created();
        if asker.user_id == rejected.user_id {
            let path = format!("/api/friend-requests/{}", request["friendRequest"]["id"]);
            ann.patch(&path, json!({"status": "rejected"})).await.ok();
        }
    }
    // A friend of a friend.
    befriend(&bob, &stranger).await;
    let mut others = [
        asking.connect().await.hearing_presence(),
        rejected.connect().await.hearing_presence(),
        stranger.connect().await.hearing_presence(),
    ];
    let mut bobs = bob.connect().await.hearing_presence();
    ann.connect().await.close().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
    assert_eq!(others[2].receives("presence").await, presence(&bob, true));
    for socket in &mut others {
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn opening_or_closing_one_of_several_sockets_is_not_pushed() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let (first, second) = (ann.connect().await.hearing_presence(), ann.connect().await.hearing_presence());
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    first.close().await;
    until(&app, 1, KNOWN, &ann).await;
    bobs.has_nothing().await;
    second.close().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
}

#[tokio::test]
async fn a_reconnect_within_the_delay_is_not_pushed() {
    let app = with_delay(Duration::from_secs(3)).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let first = ann.connect().await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    first.close().await;
    until(&app, 0, OPEN, &ann).await;
    let second = ann.connect().await.hearing_presence();
    // The `$disconnect` of the first socket has waited and ended.
    until(&app, 1, KNOWN, &ann).await;
    bobs.has_nothing().await;
    second.close().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
}

#[tokio::test]
async fn every_disconnect_starts_a_new_delay() {
    // On a busy machine a short delay is over before the test has done what it does in the meantime.
    for delay in [2, 4, 8, 16].map(Duration::from_secs) {
        if reconnects_twice_within(delay).await {
            return;
        }
    }
    panic!("every delay was over too early");
}

/// Reconnects once in the delay after the first socket and once in the delay after the second. Returns false
/// when the test was too slow for these delays.
async fn reconnects_twice_within(delay: Duration) -> bool {
    let app = with_delay(delay).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let first = ann.connect().await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    let of_ann = format!("SELECT connection_id FROM connections WHERE user_id = '{}'", ann.user_id);
    let first_id: String = app.rows(&of_ann).await.remove(0);
    let first_closes = Instant::now();
    first.close().await;
    until(&app, 0, OPEN, &ann).await;
    let second = ann.connect().await.hearing_presence();
    // She stays online for half of the first delay.
    let half = (delay / 2).as_micros();
    let recent = format!("connections WHERE expires_at > UTC_TIMESTAMP(3) - INTERVAL {half} MICROSECOND");
    until(&app, 1, &recent, &ann).await;
    let second_closes = Instant::now();
    second.close().await;
    until(&app, 0, OPEN, &ann).await;
    if first_closes.elapsed() >= delay {
        return false;
    }
    // The first delay is over and the second is not.
    until(&app, 0, &format!("connections WHERE connection_id = '{first_id}'"), &ann).await;
    let _third = ann.connect().await.hearing_presence();
    if second_closes.elapsed() >= delay {
        return false;
    }
    until(&app, 1, KNOWN, &ann).await;
    bobs.has_nothing().await;
    true
}

#[tokio::test]
async fn nothing_is_pushed_before_the_delay_is_over() {
    let app = with_delay(ENDLESS).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    ann.connect().await.close().await;
    until(&app, 0, OPEN, &ann).await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    let cat = app.user("cat").await;
    cat.post("/api/friend-requests", json!({"userId": bob.user_id})).await.created();
    bobs.receives("friendRequest").await;
    until(&app, 1, SHOWN, &ann).await;
}

#[tokio::test]
async fn users_without_friends_have_no_delay() {
    let app = with_delay(ENDLESS).await;
    let ann = app.user("ann").await;
    let anns = ann.connect().await.hearing_presence();
    until(&app, 1, SHOWN, &ann).await;
    anns.close().await;
    until(&app, 0, SHOWN, &ann).await;
    until(&app, 0, KNOWN, &ann).await;
}

#[tokio::test]
async fn two_last_sockets_that_close_concurrently_are_pushed_once() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    for _ in 0..10 {
        let (first, second) = tokio::join!(ann.connect(), ann.connect());
        tokio::join!(first.close(), second.close());
        until(&app, 0, KNOWN, &ann).await;
        let frames: Vec<_> =
            received(&mut bobs).await.into_iter().map(|frame| frame["data"]["online"].clone()).collect();
        assert_eq!(frames, [true, false]);
    }
}

#[tokio::test]
async fn however_sockets_open_and_close_the_last_push_is_true() {
    let app = with_delay(Duration::from_millis(5)).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    for round in 0..5 {
        join_all((0..8).map(async |_| ann.connect().await.close().await)).await;
        if round == 4 {
            break;
        }
        until(&app, 0, KNOWN, &ann).await;
        until(&app, 0, SHOWN, &ann).await;
        assert_eq!(received(&mut bobs).await.last().unwrap()["data"], presence(&ann, false));
    }
    // The last round overlaps with a socket that stays open.
    let _stays = ann.connect().await.hearing_presence();
    until(&app, 1, KNOWN, &ann).await;
    until(&app, 1, SHOWN, &ann).await;
    assert_eq!(received(&mut bobs).await.last().unwrap()["data"], presence(&ann, true));
}

#[tokio::test]
async fn a_user_who_logs_out_goes_offline() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let mut anns = ann.connect().await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    ann.post("/api/auth/logout", json!({})).await.no_content();
    anns.receives("sessionRevoked").await;
    assert_eq!(anns.closed().await, 1000);
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
}

#[tokio::test]
async fn replacing_the_oldest_socket_with_a_new_one_is_not_pushed() {
    let app = TestApp::with(&[("MAX_SOCKETS", "1")]).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let mut oldest = ann.connect().await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    let _newest = ann.connect().await.hearing_presence();
    assert_eq!(oldest.closed().await, 1000);
    until(&app, 1, KNOWN, &ann).await;
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_new_friend_is_notified_when_the_user_goes_offline() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let (anns, mut bobs) = (ann.connect().await.hearing_presence(), bob.connect().await.hearing_presence());
    befriend(&ann, &bob).await;
    bobs.receives("friendRequest").await;
    bobs.receives("friendRequestAnswered").await;
    anns.close().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
}

#[tokio::test]
async fn former_friends_are_not_notified() {
    let app = with_delay(SHORT).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let anns = ann.connect().await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    bob.delete(&format!("/api/friends/{}", ann.user_id)).await.no_content();
    anns.close().await;
    until(&app, 0, KNOWN, &ann).await;
    ann.connect().await.close().await;
    until(&app, 0, KNOWN, &ann).await;
    bobs.has_nothing().await;
}

#[tokio::test]
async fn friends_who_part_during_the_delay_are_not_notified() {
    let app = with_delay(Duration::from_secs(1)).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    ann.connect().await.close().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    until(&app, 0, OPEN, &ann).await;
    bob.delete(&format!("/api/friends/{}", ann.user_id)).await.no_content();
    until(&app, 0, KNOWN, &ann).await;
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_lost_disconnect_is_made_up_for_at_the_next_connect() {
    let app = with_delay(ENDLESS).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    // What it leaves behind: the row in `presence`, and perhaps a socket that expired long ago.
    app.run("INSERT INTO presence (user_id) VALUES (?)", (&ann.user_id,)).await;
    app.run(
        "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
         SELECT 'old=', user_id, session_id, UTC_TIMESTAMP(3) - INTERVAL 4 HOUR, UTC_TIMESTAMP(3) - INTERVAL 2 HOUR
         FROM sessions WHERE user_id = ?",
        (&ann.user_id,),
    )
    .await;
    let _first = ann.connect().await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    let _second = ann.connect().await.hearing_presence();
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_all_delays() {
    let app = with_delay(ENDLESS).await;
    let (ann, bob) = friends(&app).await;
    let sockets = [ann.connect().await.hearing_presence(), bob.connect().await.hearing_presence()];
    app.stop();
    for mut socket in sockets {
        assert_eq!(socket.closed().await, 1001);
    }
    for person in [&ann, &bob] {
        until(&app, 0, KNOWN, person).await;
        until(&app, 0, SHOWN, person).await;
    }
}

#[tokio::test]
async fn jobs_that_come_early_or_twice_push_the_end_once() {
    let app = with_delay(ENDLESS).await;
    let (ann, bob) = friends(&app).await;
    let mut bobs = bob.connect().await.hearing_presence();
    // Two sockets that have closed at the same time, so that neither was the last one.
    app.run("INSERT INTO presence (user_id) VALUES (?)", (&ann.user_id,)).await;
    let now = "SELECT DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f')";
    let closed_at = app.rows::<String>(now).await.remove(0);
    for socket in ["one=", "two="] {
        app.run(
            "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
             SELECT ?, user_id, session_id, UTC_TIMESTAMP(3), ? FROM sessions WHERE user_id = ?",
            (socket, &closed_at, &ann.user_id),
        )
        .await;
    }
    let job = |socket: &str| {
        let job = json!({
            "connectionId": socket,
            "userId": ann.user_id,
            "closedAt": closed_at,
            "isOnline": false,
            "hasAudience": true,
        });
        json!({"messageId": socket, "body": job.to_string()})
    };
    let event = json!({"Records": [job("two="), job("one="), job("two="), job("one=")]});
    let done = app.invoke("presence", event).await.unwrap();
    assert_eq!(done, json!({"batchItemFailures": []}));
    until(&app, 0, KNOWN, &ann).await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
    bobs.has_nothing().await;
}
