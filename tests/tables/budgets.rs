//! Round trips to the database: what each function and event takes, and that it takes no more in a large
//! world.

use super::world::{World, events};
use crate::harness::{Socket, Statements, TestApp};

/// The statements that a good call takes, the session's look-up among them. The budgets of the design are 2
/// for an authenticated read, 3 for a limited one, 6 for sending by REST and 5 by a frame.
fn budget(name: &str) -> usize {
    match name {
        // What an authenticated read takes.
        "get-profile"
        | "list-users"
        | "list-coins"
        | "list-sessions"
        | "list-invitations"
        | "list-members"
        | "get-chat"
        | "list-friend-requests"
        | "list-friends" => 2,
        "create-ticket" => 3,
        "logout" => 6,
        "create-chatroom" => 6,
        "join-room" => 6,
        "leave-room" => 10,
        "sync" => 5,
        "joinRoom" | "leaveRoom" => 9,
        "reactMessage" => 11,
        "ping" => 1,
        "send-message" => 6,
        "sendMessage" => 5,
        _ => panic!("{name} needs a row in tests/tables/budgets.rs"),
    }
}

/// What functions and events have taken, in a small world or in a large one.
async fn taken(large: bool) -> Vec<(String, Vec<String>)> {
    let mut taken = Vec::new();
    for function in functions::catalogue().into_keys() {
        let (world, statements, _sockets) = counted_world(large).await;
        let Some(call) = world.call(function) else { continue };
        let answer = world.ann.asks(call.method, &call.path, call.body).await;
        assert!((200..300).contains(&answer.status), "{function}: {}", answer.json);
        taken.push((function.to_owned(), statements.take()));
    }
    let (world, _, mut sockets) = counted_world(large).await;
    for event in events(&mut sockets[0]).await {
        let (world, statements, mut sockets) = counted_world(large).await;
        let frame = sockets[0].ask(&event, world.frame(&event)).await;
        assert_ne!(frame["event"], "error", "{event}: {frame}");
        taken.push((event, statements.take()));
    }
    drop(world);
    taken
}

/// Ann has a socket, which comes first, and Bob has one; in a large world all have more, and much else.
async fn counted_world(large: bool) -> (World, Statements, Vec<Socket>) {
    let statements = Statements::default();
    let world = World::new(TestApp::counted(&statements).await).await;
    let mut sockets = Vec::new();
    for person in [&world.ann, &world.bob] {
        for _ in 0..if large { 6 } else { 1 } {
            sockets.push(person.connect().await);
        }
    }
    if large {
        world.grow().await;
    }
    // A first message makes the sender's window of time.
    world.ann.says(world.room, "First").await.created();
    sockets[0].receives("receiveMessage").await;
    statements.take();
    (world, statements, sockets)
}

#[tokio::test]
async fn every_function_and_event_keeps_its_budget_of_round_trips_whatever_the_size_of_the_world() {
    let (small, large) = tokio::join!(taken(false), taken(true));
    let mut broken = Vec::new();
    for ((name, in_small), (_, in_large)) in small.into_iter().zip(large) {
        let budget = budget(&name);
        if (in_small.len(), in_large.len()) != (budget, budget) {
            broken.push(format!(
                "{name}: {budget} round trips allowed, {} taken, and {} in a large world:\n    {}\n  large:\n    {}",
                in_small.len(), in_large.len(), in_small.join("\n    "), in_large.join("\n    ")
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
