use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gateway::invoke::{Failure, Functions, InProcess};
use mysql_async::TxOpts;
use mysql_async::prelude::Queryable;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::harness::{ROOM_PASSWORD, TestApp, claims};

/// Functions of which `connect` does its work, then waits for a permit of `answer` before it returns.
struct Held {
    functions: InProcess,
    connected: Arc<Semaphore>,
    answer: Arc<Semaphore>,
}

impl Functions for Held {
    fn invoke(
        &self,
        name: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        let call = self.functions.invoke(name, request_id, event);
        if name != "connect" {
            return call;
        }
        let (connected, answer) = (self.connected.clone(), self.answer.clone());
        Box::pin(async move {
            let answered = call.await;
            connected.add_permits(1);
            answer.acquire().await.unwrap().forget();
            answered
        })
    }
}

#[tokio::test]
async fn a_push_during_the_handshake_does_not_keep_the_socket_from_later_pushes() {
    let (connected, answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held = (connected.clone(), answer.clone());
    let app = TestApp::wrapped(
        |_| (),
        move |functions| Arc::new(Held { functions, connected: held.0, answer: held.1 }),
    )
    .await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;

    // The row exists already and the socket does not: this push reaches nobody.
    let overtake = async {
        connected.acquire().await.unwrap().forget();
        ann.says(room, "too early").await.created();
        answer.add_permits(1);
    };
    let (mut socket, ()) = tokio::join!(ann.connect(), overtake);
    ann.says(room, "in time").await.created();
    assert_eq!(socket.receives("receiveMessage").await["message"]["content"], "in time");
}

#[tokio::test]
async fn a_logout_during_the_handshake_closes_the_socket() {
    let (connected, answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held = (connected.clone(), answer.clone());
    let app = TestApp::wrapped(
        |_| (),
        move |functions| Arc::new(Held { functions, connected: held.0, answer: held.1 }),
    )
    .await;
    let ann = app.user("ann").await;
    let log_out = async {
        connected.acquire().await.unwrap().forget();
        ann.post("/api/auth/logout", json!({})).await.no_content();
        answer.add_permits(1);
    };
    let (mut socket, ()) = tokio::join!(ann.connect(), log_out);
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn a_socket_opens_while_a_request_of_its_session_is_under_way() {
    // Otherwise each could wait for a row that the other has locked: the request for the user, the socket for the session.
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let mut holder = app.database().await;
    let mut held = holder.start_transaction(TxOpts::default()).await.unwrap();
    let lock = format!(
        "SELECT session_id FROM sessions WHERE session_id = '{}' LOCK IN SHARE MODE",
        claims(&ann.access_token)["sid"].as_str().unwrap()
    );
    assert_eq!(held.query::<String, _>(lock).await.unwrap().len(), 1);
    ann.connect().await;
    held.rollback().await.unwrap();
}

#[tokio::test]
async fn a_join_that_waits_during_a_logout_seats_nobody() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 500).await);
    let room = ann.opens_a_room().await;
    let mut socket = bob.connect().await;
    let mut holder = app.database().await;
    let lock = format!("SELECT id FROM rooms WHERE id = {room} FOR UPDATE");

    // The join waits for the room's lock after its password and its socket were checked.
    let mut held = holder.start_transaction(TxOpts::default()).await.unwrap();
    held.query_drop(&lock).await.unwrap();
    socket.send("joinRoom", json!({"roomId": room, "password": ROOM_PASSWORD})).await;
    app.until_waiting("updated_at FROM rooms WHERE").await;
    bob.post("/api/auth/logout", json!({})).await.no_content();
    held.rollback().await.unwrap();

    // Locks are granted in turn: this one after the join's.
    let mut after = holder.start_transaction(TxOpts::default()).await.unwrap();
    after.query_drop(&lock).await.unwrap();
    after.rollback().await.unwrap();
    let members = ann.get(&format!("/api/rooms/{room}/members")).await.ok();
    assert_eq!(members["members"].as_array().unwrap().len(), 1, "{members}");
    app.invariants_hold().await;
}

#[tokio::test]
async fn edits_deletions_and_reactions_that_wait_during_a_logout_change_nothing() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let sent = bob.says(room, "hello").await.created();
    let mut sockets = [bob.connect().await, bob.connect().await, bob.connect().await];
    let (mut holder, mut watcher) = (app.database().await, app.database().await);
    let lock = format!("SELECT id FROM rooms WHERE id = {room} FOR UPDATE");

    // All three wait for the room's lock after their sockets were checked.
    let mut held = holder.start_transaction(TxOpts::default()).await.unwrap();
    held.query_drop(&lock).await.unwrap();
    let data = json!({"messageId": sent["message"]["messageId"], "content": "too late", "reaction": "👍"});
    for (socket, event) in sockets.iter_mut().zip(["editMessage", "deleteMessage", "reactMessage"]) {
        socket.send(event, data.clone()).await;
    }
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist
                   WHERE db = DATABASE() AND info LIKE '%FROM rooms%FOR UPDATE' AND id <> CONNECTION_ID()";
    let all_wait = async {
        while watcher.query_first(waiting).await.unwrap() != Some(3) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), all_wait).await.expect("not all three wait");
    bob.post("/api/auth/logout", json!({})).await.no_content();
    held.rollback().await.unwrap();

    // Locks are granted in turn: this one after all others.
    let mut after = holder.start_transaction(TxOpts::default()).await.unwrap();
    after.query_drop(&lock).await.unwrap();
    after.rollback().await.unwrap();
    assert_eq!(ann.reads(room).await, [(1, "joined".to_owned()), (2, "hello".to_owned())]);
    assert_eq!(ann.get(&format!("/chats/{room}")).await.ok()["lastSeq"], 2);
    app.invariants_hold().await;
}
