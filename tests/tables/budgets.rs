//! Round trips to the database: how many statements each function and event takes. In a large world it must be the
//! same number, so no function may run a statement for each row.
//!
//! A new function or event gets a row in `budget_of_function` or `budget_of_event`. A change that needs more
//! statements raises the number there, deliberately.

use image::ImageFormat;
use serde_json::{Value, json};
use shared::events::client_event::ClientEvent;

use super::world::World;
use crate::harness::{Person, Socket, Statements, TestApp};
use crate::uploads::picture;

/// The number of statements that a successful request takes, including the one that finds the session.
fn budget_of_function(function: &str) -> usize {
    match function {
        "health" => 1,
        // With the one that counts the request for `READ_LIMIT` meanwhile, as every request has that only reads.
        "get-presence"
        | "get-profile"
        | "get-settings"
        | "list-users"
        | "list-coins"
        | "list-sessions"
        | "list-invitations"
        | "list-members"
        | "list-replies"
        | "list-mentions"
        | "get-chat"
        | "get-message"
        | "get-room"
        | "get-group-messages"
        | "list-friend-requests"
        | "list-friends" => 3,
        // With the one that counts the request for `FRAME_LIMIT`, as every request has that changes something.
        "list-chat" | "create-ticket" | "create-upload" => 3,
        // Nobody has a socket any more, so one statement ends those of the job.
        "fan-out" => 1,
        "presence" => 4,
        "disconnect" => 5,
        // All that a client begins with, in one transaction.
        "bootstrap" => 12,
        // Beside the page: the positions that count for the total, the unread messages, and the people shown.
        "list-chats" => 6,
        // The first one who asks signs the URLs, and stores them for the others.
        "get-upload" | "get-upload-urls" => 5,
        "get-avatar" | "docs" => 0,
        "remove-avatar" => 8,
        // There is none to remove.
        "remove-room-avatar" => 7,
        "set-room-avatar" => 13,
        // Two of them find who is told of it.
        "set-avatar" => 12,
        "sync" | "connect" => 6,
        "logout" | "revoke-invitation" | "decline-invitation" => 6,
        "remove-friend" | "register" | "invite" | "renew-join-code" => 7,
        // A session without open sockets: with some, one more statement closes them.
        "revoke-session" => 7,
        // The rooms are locked and the senders are found together with the beginning of the transaction. What the message
        // changes in the room is written together with the commit, after which the sockets are selected.
        "send-message" | "send-messages" => 4,
        "send-direct" => 5,
        "refresh-token" | "answer-friend-request" | "update-membership" => 8,
        "update-member" | "create-friend-request" | "withdraw-friend-request" => 9,
        // Those that make a room count it for `ROOM_LIMIT`. A password is not hashed for a room over the limit.
        "create-chat" | "create-group" | "create-chatroom" => 10,
        "edit-message" | "delete-message" => 10,
        // Two of them find the sockets to tell.
        "update-settings" => 10,
        // One of them counts the change, and two find who is told of what.
        "update-profile" => 12,
        // One of them asks whether the room is in slow mode.
        "complete-upload" | "upload" => 11,
        // One of them looks for sessions beyond the hundredth.
        "login" => 11,
        "update-room" => 11,
        "pass-ownership" => 12,
        // Two of them run after the push to the members. A large room takes more, up to a limit.
        "delete-room" | "delete-chat" => 13,
        "leave-room" | "remove-member" | "add-user" => 12,
        "update-user" => 13,
        "join-room" | "accept-invitation" => 14,
        _ => panic!("{function} needs a row in tests/tables/budgets.rs"),
    }
}

/// The number of statements that a successful frame takes, including the one that finds the socket's user.
fn budget_of_event(event: ClientEvent) -> usize {
    match event {
        ClientEvent::Ping => 2,
        ClientEvent::JoinGroup | ClientEvent::StopTyping => 3,
        ClientEvent::Typing | ClientEvent::ReadMessage => 4,
        ClientEvent::SendMessage | ClientEvent::SendMessages | ClientEvent::GroupMessage => 3,
        ClientEvent::Sync => 6,
        ClientEvent::EditMessage | ClientEvent::DeleteMessage | ClientEvent::CreateGroup => 10,
        ClientEvent::NewChatRoom | ClientEvent::ReactMessage | ClientEvent::SendFile => 11,
        ClientEvent::LeaveRoom => 12,
        ClientEvent::JoinRoom => 14,
    }
}

/// The statements that a function or an event took, and its budget.
struct Taken {
    name: String,
    budget: usize,
    statements: Vec<String>,
}

/// The statements of all functions and events, in a small or in a large world. Each has a server of its own, since
/// otherwise the `$disconnect` of another's socket could be counted too.
async fn taken(large: bool) -> Vec<Taken> {
    let mut taken = Vec::new();
    for function in functions::catalogue().into_keys() {
        let statements = Statements::default();
        let app = TestApp::counted(&statements).await;
        let (world, mut sockets) = busy_world(&app, large).await;
        let dan = world.dan("dan").await;
        let only = if function == "disconnect" { Some(dan.connect().await) } else { None };
        let refresh = json!({"refreshToken": world.ann.refresh_token});
        let again =
            json!({"userId": world.bob.user_id, "password": format!("{}'s password", world.bob.user_id)});
        statements.take();
        let answer = match function {
            // Frames have budgets of their own, and the work of the others depends on what there is to do.
            "message" | "migrate" | "operator" | "sweep" => continue,
            "connect" => {
                sockets.push(dan.connect().await);
                None
            }
            "disconnect" => {
                only.unwrap().close().await;
                until_disconnected(&app, &dan).await;
                None
            }
            "fan-out" | "presence" => {
                let answer =
                    app.invoke(function, event_of_a_queue(function, &app, &dan).await).await.unwrap();
                assert_eq!(answer, json!({"batchItemFailures": []}), "{function}");
                None
            }
            "register" => Some(app.post("/api/auth/register", json!({"password": "correct horse"})).await),
            "login" => Some(app.post("/api/auth/login", again).await),
            "refresh-token" => Some(app.post("/api/auth/refresh-token", refresh).await),
            "health" => Some(app.get("/health").await),
            "docs" => {
                let page = app.http.get(format!("{}/docs", app.url)).send().await.unwrap();
                assert_eq!(page.status(), 200);
                None
            }
            "get-avatar" => {
                let avatar = world.ann.sets_avatar(&picture(3, 2, ImageFormat::Png)).await.ok();
                let url = format!("{}{}", app.url, avatar["avatarUrl"].as_str().unwrap());
                statements.take();
                assert_eq!(app.http.get(url).send().await.unwrap().status(), 200);
                None
            }
            _ => match world.call(function) {
                Some(call) => Some(call.by(&world.ann).await),
                None => panic!("{function} needs a row in tests/tables/budgets.rs"),
            },
        };
        if let Some(answer) = answer {
            assert!((200..400).contains(&answer.status), "{function}: {}", answer.json);
        }
        let (name, budget) = (function.to_owned(), budget_of_function(function));
        taken.push(Taken { name, budget, statements: statements.take() });
    }
    for &event in ClientEvent::ALL {
        let statements = Statements::default();
        let app = TestApp::counted(&statements).await;
        let (world, mut sockets) = busy_world(&app, large).await;
        statements.take();
        let (name, budget) = (event.name(), budget_of_event(event));
        let frame = sockets[0].ask(name, world.frame(event)).await;
        assert_ne!(frame["event"], "error", "{name}: {frame}");
        let name = format!("the event {name}");
        taken.push(Taken { name, budget, statements: statements.take() });
    }
    taken
}

/// The event of a queue, with the job of a socket that is not open.
async fn event_of_a_queue(function: &str, app: &TestApp, person: &Person) -> Value {
    app.run("INSERT INTO presence (user_id) VALUES (?)", (&person.user_id,)).await;
    let job = match function {
        "fan-out" => json!([{"frames": [{"event": "roomDeleted"}], "closes": false, "sockets": ["gone="]}]),
        _ => json!({
            "connectionId": "gone=",
            "userId": person.user_id,
            "closedAt": "2026-11-21T10:15:30.123",
            "isOnline": false,
            "hasAudience": true,
        }),
    };
    json!({"Records": [{"messageId": "1", "body": job.to_string()}]})
}

/// Waits until no row of the person's sockets is left.
async fn until_disconnected(app: &TestApp, person: &Person) {
    app.until(0, &format!("SELECT COUNT(*) FROM connections WHERE user_id = '{}'", person.user_id)).await;
}

/// A world where Ann and Bob have a socket each, Ann's first. In a large world they have more sockets, and there is
/// much more of everything.
async fn busy_world(app: &TestApp, large: bool) -> (World<'_>, Vec<Socket>) {
    let world = World::new(app, "tea").await;
    let mut sockets = Vec::new();
    for person in [&world.ann, &world.bob] {
        for _ in 0..if large { 6 } else { 1 } {
            sockets.push(person.connect().await);
        }
    }
    if large {
        world.grow().await;
    }
    // First messages start the sender's rate limit window and create the direct chat.
    world.ann.says(world.room, "First").await.created();
    world.ann.writes_to(&world.bob, "First").await.created();
    for _ in 0..2 {
        sockets[0].receives("receiveMessage").await;
    }
    (world, sockets)
}

#[tokio::test]
async fn every_function_and_event_keeps_its_budget_of_statements_however_much_data_there_is() {
    let (small, large) = tokio::join!(taken(false), taken(true));
    let mut broken = Vec::new();
    for (small, large) in small.into_iter().zip(large) {
        let (name, budget) = (small.name, small.budget);
        let (in_small, in_large) = (small.statements, large.statements);
        if (in_small.len(), in_large.len()) != (budget, budget) {
            broken.push(format!(
                "{name}: {budget} statements allowed, {} taken, and {} in a large world:\n    {}\n  large:\n    {}",
                in_small.len(),
                in_large.len(),
                in_small.join("\n    "),
                in_large.join("\n    ")
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[tokio::test]
async fn a_sync_with_the_users_cursor_takes_two_statements_more_when_nothing_has_changed() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let (world, _sockets) = busy_world(&app, true).await;
    let begun = world.ann.get("/api/bootstrap").await.ok();
    let mut cursors = json!({"rooms": {world.room.to_string(): 0}});
    let mut taken = Vec::new();
    for cursor in [Value::Null, begun["user"].clone()] {
        cursors["user"] = cursor;
        statements.take();
        world.ann.post("/api/sync", cursors.clone()).await.ok();
        taken.push(statements.take());
    }
    assert_eq!((taken[0].len(), taken[1].len()), (6, 8), "{taken:?}");
}
