//! No user and no room takes all connections to the database: docs/contract.md, "Fair shares".

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::harness::{Answer, Person, Socket, TestApp};

/// A quarter of the connections that the server of a test has.
const SHARE: usize = 6;

/// Those that were done, and not refused because too much waited.
fn done(answers: &[Answer]) -> usize {
    let refused = |answer: &&Answer| {
        answer.status == 503
            && ["overloaded", "database_unavailable"].contains(&answer.json["code"].as_str().unwrap())
    };
    answers.len() - answers.iter().filter(refused).count()
}

#[tokio::test]
async fn forty_searches_of_one_user_at_once_leave_others_served() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let login = json!({"userId": ann.user_id, "password": "ann's password"});
    let phone = Person::new(&app, &app.post("/api/auth/login", login).await.ok());
    let mut holder = app.database().await;
    holder.query_drop("LOCK TABLES name_keys WRITE").await.unwrap();
    let searches = join_all((0..40).map(|_| phone.get("/users?q=zzzz")));
    let meanwhile = async {
        app.until_so_many_wait("name_keys", SHARE).await;
        for _ in 0..10 {
            bob.get("/api/profile/me").await.ok();
        }
        assert_eq!(app.waiting("name_keys").await, SHARE);
        // Ann ends the session that does it, and does not wait for it.
        ann.delete(&format!("/api/auth/sessions/{}", phone.session_id())).await.no_content();
        holder.query_drop("UNLOCK TABLES").await.unwrap();
    };
    let (answers, ()) = tokio::join!(searches, meanwhile);
    // Those that were waiting for their turn are not authenticated any more.
    let ended = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(ended >= 40 - 2 * SHARE, "{ended}");
    let found = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(ended + found, done(&answers));
    bob.get("/users?q=zzzz").await.ok();
}

#[tokio::test]
async fn frames_of_one_user_on_many_sockets_leave_others_served() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let mut sockets = join_all((0..5).map(|_| ann.connect())).await;
    let mut holder = app.holding("SELECT id FROM organizations FOR UPDATE").await;
    for socket in &mut sockets {
        for _ in 0..8 {
            socket.send("createGroup", json!({"name": "Hikers", "members": []})).await;
        }
    }
    app.until_so_many_wait("FROM organizations o", SHARE).await;
    bob.says(group, "I am served").await.created();
    assert_eq!(app.waiting("FROM organizations o").await, SHARE);
    holder.query_drop("ROLLBACK").await.unwrap();
    let answered = join_all(sockets.iter_mut().map(async |socket: &mut Socket| {
        let mut answered = 0;
        while answered < 8 {
            answered += usize::from(socket.receive().await.get("ref").is_some());
        }
    }));
    answered.await;
}

#[tokio::test]
async fn a_locked_room_with_many_waiting_acts_leaves_other_rooms_served() {
    let app = TestApp::start().await;
    let admin = app.user("admin").await;
    app.set_role(&admin, "admin").await;
    let (locked, other) = (admin.makes_a_channel("locked").await, admin.makes_a_channel("other").await);
    let names: Vec<_> = (0..40).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.user(name))).await;
    let mut messages = Vec::new();
    for guest in &guests[..20] {
        guest.joins(locked).await.created();
        messages.push(guest.says(locked, "hello").await.created()["message"]["messageId"].take());
    }
    let mut sockets = join_all(guests[..10].iter().map(Person::connect)).await;
    let mut holder = app.holding(&format!("SELECT id FROM rooms WHERE id = {locked} FOR UPDATE")).await;

    let acts = join_all(guests.iter().enumerate().skip(10).map(async |(number, guest)| match number {
        10..20 => {
            let path = format!("/api/messages/{}", messages[number].as_str().unwrap());
            guest.patch(&path, json!({"content": "edited"})).await
        }
        _ => guest.joins(locked).await,
    }));
    let reactions = join_all(sockets.iter_mut().zip(&messages).map(async |(socket, message)| {
        socket.send("reactMessage", json!({"messageId": message, "reaction": "\u{1f44d}"})).await;
        // It also gets the pushes about the others.
        loop {
            let frame = socket.receive().await;
            if frame.get("ref").is_some() {
                break frame;
            }
        }
    }));
    let meanwhile = async {
        const LOCK: &str = "updated_at FROM rooms WHERE";
        app.until_so_many_wait(LOCK, SHARE).await;
        for guest in &guests[..10] {
            guest.joins(other).await.created();
            let said = guest.says(other, "hello").await.created();
            let path = format!("/api/messages/{}", said["message"]["messageId"].as_str().unwrap());
            guest.patch(&path, json!({"content": "edited"})).await.ok();
        }
        assert!(app.waiting(LOCK).await <= SHARE);
        holder.query_drop("ROLLBACK").await.unwrap();
    };
    let (acts, reactions, ()) = tokio::join!(acts, reactions, meanwhile);
    assert!(done(&acts) > 0);
    let refused = acts.iter().filter(|answer| answer.status >= 400).count();
    assert_eq!(refused, acts.len() - done(&acts), "nothing else was refused");
    for answer in reactions {
        let code = &answer["data"]["code"];
        assert!(
            answer["event"] == "ack" || code == "overloaded" || code == "database_unavailable",
            "{answer}"
        );
    }
    app.invariants_hold().await;
}
