//! Sending and erasing a file obey what is committed while they wait for a lock.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Transaction, TxOpts};
use serde_json::json;

use super::{PNG, age_uploads, counts, sweep};
use crate::harness::TestApp;

/// Locks the rows of a `SELECT`.
async fn lock<'a>(holder: &'a mut Conn, select: &str) -> Transaction<'a> {
    let mut held = holder.start_transaction(TxOpts::default()).await.unwrap();
    held.query_drop(format!("{select} FOR UPDATE")).await.unwrap();
    held
}

#[tokio::test]
async fn a_file_is_not_sent_if_the_session_ends_while_it_waits() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let presigned = bob.posts_file(&app, room, "image/png", PNG).await;
    let mut socket = bob.connect().await;
    let mut holder = app.database().await;
    let select = format!("SELECT id FROM rooms WHERE id = {room}");
    let held = lock(&mut holder, &select).await;
    socket.send("sendFile", json!({"uploadId": presigned["uploadId"]})).await;
    app.until_waiting("UPDATE rooms r").await;
    bob.post("/api/auth/logout", json!({})).await.no_content();
    held.rollback().await.unwrap();
    // Locks are granted in turn: this one after the frame's.
    lock(&mut holder, &select).await.rollback().await.unwrap();
    assert_eq!(socket.until_closed().await.1, 1000);
    assert_eq!(ann.reads(room).await.len(), 1, "only Bob's join");
    assert_eq!(counts(&app).await, (1, 0));
    app.invariants_hold().await;
    // The copy that it had made is erased together with the posted object.
    age_uploads(&app).await;
    assert_eq!(sweep(&app).await["uploads"], 1);
    assert_eq!(app.stored(), Vec::<String>::new());
}

#[tokio::test]
async fn the_sweep_keeps_a_file_that_is_sent_while_it_waits() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let presigned = ann.posts_file(&app, room, "image/png", PNG).await;
    let upload_id = presigned["uploadId"].as_str().unwrap();
    age_uploads(&app).await;
    let mut holder = app.database().await;
    let mut held = lock(&mut holder, "SELECT upload_id FROM uploads").await;
    // What completing does, which waits for the same row.
    let send = async {
        app.until_waiting("UPDATE uploads SET room_id = NULL").await;
        let checked = format!("files/{upload_id}/checked");
        app.files.put(&checked, "image/png", PNG.into()).await.unwrap();
        for sql in [
            "UPDATE rooms SET last_seq = last_seq + 1",
            "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
             SELECT id, last_seq, last_seq, 'file', created_by, '', UTC_TIMESTAMP(3) FROM rooms",
            "UPDATE uploads SET seq = 1, object_key = 'checked'",
        ] {
            held.query_drop(sql).await.unwrap();
        }
        held.commit().await.unwrap();
    };
    let (swept, ()) = tokio::join!(sweep(&app), send);
    assert_eq!((&swept["uploads"], counts(&app).await), (&json!(0), (1, 1)));
    assert_eq!(ann.downloads(upload_id).await, PNG);
    assert_eq!(ann.completes(&presigned).await.ok()["message"]["seq"], 1);
    app.invariants_hold().await;
}

#[tokio::test]
async fn completing_a_file_that_is_erased_meanwhile_is_404() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let presigned = ann.posts_file(&app, room, "image/png", PNG).await;
    age_uploads(&app).await;
    let mut holder = app.database().await;
    let held = lock(&mut holder, &format!("SELECT id FROM rooms WHERE id = {room}")).await;
    let erase = async {
        app.until_waiting("UPDATE rooms r").await;
        assert_eq!(sweep(&app).await["uploads"], 1);
        held.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(ann.completes(&presigned), erase);
    answer.refused(404, "upload_not_found");
    assert_eq!((ann.reads(room).await.len(), counts(&app).await), (0, (0, 0)));
    assert_eq!(app.stored(), Vec::<String>::new());
}

#[tokio::test]
async fn of_two_requests_that_sign_a_url_at_once_both_get_the_first() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let sent = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    let mut holder = app.database().await;
    let mut held = lock(&mut holder, "SELECT upload_id FROM uploads").await;
    let first = async {
        app.until_waiting("UPDATE uploads FORCE INDEX").await;
        let keep =
            "UPDATE uploads SET url = 'http://first', url_expires_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR";
        held.query_drop(keep).await.unwrap();
        held.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(ann.get(sent["upload"]["url"].as_str().unwrap()), first);
    assert_eq!(answer.headers["location"], "http://first");
}
