//! What the hourly `sweep` erases.

use gateway::template::{BUILT_IN, Template};
use serde_json::json;

use super::{JPEG, PNG, age_uploads, counts, of_size, post_to_store, sweep};
use crate::harness::TestApp;

#[tokio::test]
async fn an_upload_that_is_not_completed_within_a_day_is_erased() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let [posted, empty, fresh] = [
        ann.presigns(room, "image/png", PNG.len()).await,
        ann.presigns(room, "image/png", 9).await,
        ann.presigns(room, "image/png", PNG.len()).await,
    ]
    .map(|answer| answer.created());
    assert_eq!(post_to_store(&app, &posted, PNG).await, 204);
    assert_eq!(post_to_store(&app, &fresh, PNG).await, 204);
    assert_eq!(sweep(&app).await["uploads"], 0);
    app.run(
        "UPDATE uploads SET created_at = UTC_TIMESTAMP(3) - INTERVAL 25 HOUR WHERE upload_id <> ?",
        (fresh["uploadId"].as_str().unwrap(),),
    )
    .await;
    assert_eq!(sweep(&app).await["uploads"], 2);
    assert_eq!((counts(&app).await, app.stored().len()), ((1, 0), 1));
    ann.completes(&posted).await.refused(404, "upload_not_found");
    ann.completes(&empty).await.refused(404, "upload_not_found");
    ann.completes(&fresh).await.created();
}

#[tokio::test]
async fn a_sent_file_stays_and_its_other_copies_are_erased() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let bytes = of_size(PNG, 3000);
    let presigned = ann.posts_file(&app, room, "image/png", &bytes).await;
    let upload_id = presigned["uploadId"].as_str().unwrap();
    ann.completes(&presigned).await.created();
    assert_eq!(post_to_store(&app, &presigned, &bytes).await, 204);
    // The copy of a request that ended half way.
    let copy = format!("files/{upload_id}/another");
    app.files.put(&copy, "image/png", PNG.into()).await.unwrap();
    let direct = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    assert_eq!(app.stored().len(), 4);
    age_uploads(&app).await;
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM uploads WHERE swept").await, [0]);
    assert_eq!(sweep(&app).await["uploads"], 0);
    assert_eq!((counts(&app).await, app.stored().len()), ((2, 2), 2));
    assert!(ann.downloads(upload_id).await == bytes);
    assert_eq!(ann.downloads(direct["upload"]["uploadId"].as_str().unwrap()).await, PNG);
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM uploads WHERE swept").await, [2], "marked as checked");
    assert_eq!(sweep(&app).await["uploads"], 0);
}

#[tokio::test]
async fn a_file_posted_after_a_refusal_is_erased_a_day_later() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let lie = of_size(JPEG, PNG.len());
    let presigned = ann.posts_file(&app, room, "image/png", &lie).await;
    ann.completes(&presigned).await.refused(415, "unsupported_media_type");
    assert_eq!(sweep(&app).await["uploads"], 1);
    assert_eq!((counts(&app).await, app.stored().len()), ((0, 0), 0));
    // The policy is still valid.
    assert_eq!(post_to_store(&app, &presigned, &lie).await, 204);
    let waiting = ann.posts_file(&app, room, "image/png", PNG).await;
    sweep(&app).await;
    assert_eq!(app.stored().len(), 2, "its row may still be added");
    app.age_stored();
    sweep(&app).await;
    assert_eq!(app.stored().len(), 1);
    ann.completes(&waiting).await.created();
}

#[tokio::test]
async fn forty_files_are_erased_in_one_sweep() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for _ in 0..40 {
        ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    }
    assert_eq!(app.stored().len(), 40);
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    assert_eq!(sweep(&app).await["uploads"], 40);
    assert_eq!(app.stored(), Vec::<String>::new());
}

#[tokio::test]
async fn an_expired_session_stays_as_long_as_it_has_a_socket() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let _socket = ann.connect().await;
    app.run("UPDATE sessions SET expires_at = UTC_TIMESTAMP(3)", ()).await;
    assert_eq!(sweep(&app).await["sessions"], 0);
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM connections").await, [1]);
    app.run("DELETE FROM connections", ()).await;
    assert_eq!(sweep(&app).await["sessions"], 1);
}

#[tokio::test]
async fn the_files_of_a_deleted_room_are_erased() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let (room, other) = (ann.opens_a_room().await, ann.opens_a_room().await);
    ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    ann.sends_file(other, "x.png", "image/png", PNG).await.created();
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    assert_eq!(sweep(&app).await["uploads"], 1);
    assert_eq!((counts(&app).await, app.stored().len()), ((1, 1), 1));
}

#[tokio::test]
async fn the_file_of_a_deleted_message_is_erased() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let presigned = ann.posts_file(&app, room, "image/png", PNG).await;
    ann.completes(&presigned).await.created();
    ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    ann.delete(&format!("/api/messages/{room}-1")).await.ok();
    ann.completes(&presigned).await.refused(404, "upload_not_found");
    assert_eq!(sweep(&app).await["uploads"], 1);
    assert_eq!((counts(&app).await, app.stored().len()), ((1, 2), 1));
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_upload_stays_in_the_database_while_the_store_is_unreachable() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let app = TestApp::adjusted(|config| config.store.endpoint = Some(format!("http://{closed}"))).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    ann.presigns(room, "image/png", PNG.len()).await.created();
    age_uploads(&app).await;
    app.invoke("sweep", json!({})).await.unwrap_err();
    assert_eq!(counts(&app).await.0, 1);
}

#[tokio::test]
async fn only_expired_tickets_sessions_invitations_rate_limits_and_connections_are_erased() {
    let app = TestApp::with(&[("TICKET_LIMIT", "30/60")]).await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    ann.post("/api/ws-ticket", json!({})).await.created();
    bob.post("/api/ws-ticket", json!({})).await.created();
    let (_anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let kept = sweep(&app).await;
    assert_eq!(
        kept,
        json!({"connections": 0, "handshakes": 0, "tickets": 0, "invitations": 0, "sessions": 0, "rateLimits": 0, "rooms": 0, "uploads": 0, "avatars": 0})
    );

    let of_ann = "(SELECT session_id FROM sessions WHERE user_id = 'ann')";
    app.run(&format!("UPDATE tickets SET expires_at = UTC_TIMESTAMP(3) WHERE session_id = {of_ann}"), ())
        .await;
    app.run("UPDATE connections SET connected_at = connected_at - INTERVAL 3 HOUR, expires_at = expires_at - INTERVAL 3 HOUR WHERE user_id = 'ann'", ()).await;
    app.run("UPDATE sessions SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = 'ann'", ()).await;
    app.run("UPDATE rate_limits SET tally = 1 WHERE subject = 'ann'", ()).await;
    let room = bob_invites(&app).await;
    let swept = sweep(&app).await;
    assert_eq!(
        swept,
        json!({"connections": 1, "handshakes": 0, "tickets": 1, "invitations": 1, "sessions": 1, "rateLimits": 1, "rooms": 0, "uploads": 0, "avatars": 0})
    );
    for (table, left) in [("connections", 1), ("tickets", 1), ("invitations", 1), ("sessions", 1)] {
        let rows: Vec<u64> = app.rows(&format!("SELECT COUNT(*) FROM {table}")).await;
        assert_eq!(rows, [left], "{table}");
    }
    bobs.has_nothing().await;
    assert!(room > 0);
}

/// Two invitations, one of which has expired.
async fn bob_invites(app: &TestApp) -> u64 {
    app.run("UPDATE users SET prime = TRUE", ()).await;
    let cat = app.prime("cat").await;
    let room = cat.opens_a_room().await;
    for (days, hash) in [(1, "a"), (-1, "b")] {
        app.run(
            "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
             VALUES (?, 'cat', 'bob', ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? DAY)",
            (room, hash.repeat(32), days),
        )
        .await;
    }
    app.run("DELETE FROM sessions WHERE user_id = 'cat'", ()).await;
    room
}

#[tokio::test]
async fn one_sweep_erases_more_than_one_batch() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let session: Vec<String> = app.rows("SELECT session_id FROM sessions").await;
    app.run(
        "INSERT INTO tickets (ticket_hash, session_id, expires_at)
         WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         SELECT UNHEX(SHA2(i, 256)), ?, UTC_TIMESTAMP(3) FROM n",
        (&session[0],),
    )
    .await;
    assert_eq!(sweep(&app).await["tickets"], 900);
    ann.get("/api/profile/me").await.ok();
}

#[test]
fn the_template_runs_the_sweep_every_hour() {
    let schedules = Template::parse(BUILT_IN).unwrap().schedules;
    let all: Vec<_> =
        schedules.iter().map(|schedule| (schedule.function.as_str(), schedule.every.as_secs())).collect();
    assert_eq!(all, [("sweep", 3600)]);
}

#[tokio::test]
async fn the_sweep_erases_the_rest_of_a_large_deleted_room() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let eve = app.prime("eve").await;
    ann.invites(room, &eve).await.created();
    app.run(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
         SELECT ?, 2 + a.n + 200 * b.n, 2 + a.n + 200 * b.n, 'text', 'ann', 'hello', UTC_TIMESTAMP(3)
         FROM (WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 199) SELECT n FROM n) a,
              (WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 149) SELECT n FROM n) b",
        (room,),
    )
    .await;
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    let left = "SELECT (SELECT COUNT(*) FROM rooms), (SELECT COUNT(*) FROM messages)";
    assert_eq!(app.rows::<(u64, u64)>(left).await, [(1, 10_001)]);
    // The room is gone for everybody nevertheless.
    bob.joins(room).await.refused(404, "room_not_found");
    bob.get(&format!("/chats/{room}")).await.refused(404, "room_not_found");
    assert_eq!(ann.get("/chats").await.ok()["total"], 0);
    assert_eq!(eve.get("/api/invitations").await.ok(), json!({"invitations": [], "next": null}));
    assert_eq!(sweep(&app).await["rooms"], 1);
    assert_eq!(app.rows::<(u64, u64)>(left).await, [(0, 0)]);
}

/// A login with a name that nobody has leaves a window, and needs no user.
#[tokio::test]
async fn one_sweep_erases_forty_thousand_windows_of_rate_limits() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO rate_limits (name, subject, tally)
         WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 199)
         SELECT 'login', CONCAT(a.i, '-', b.i), 1 FROM n a JOIN n b",
        (),
    )
    .await;
    assert_eq!(sweep(&app).await["rateLimits"], 40_000);
}
