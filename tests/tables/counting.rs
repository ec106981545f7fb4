//! Rate limits: which of them each function and event counts toward.

use std::collections::BTreeMap;

use serde_json::json;
use shared::events::client_event::ClientEvent;

use super::world::World;
use crate::harness::{Person, TestApp};

/// The names of the windows in which a request that succeeds counts, each as often as it does.
fn counted_by_function(function: &str) -> &'static [&'static str] {
    match function {
        "send-message" | "edit-message" | "delete-message" => &["message"],
        "send-messages" => &["message", "message"],
        // The first message to Bob makes their chat.
        "send-direct" => &["message", "room"],
        "create-chatroom" | "create-chat" | "create-group" => &["frame", "room"],
        "upload" | "create-upload" | "set-avatar" | "set-room-avatar" => &["upload"],
        "create-ticket" => &["ticket"],
        "list-chat" => &["chat_list"],
        // Carl is a friend, whom Ann may add as often as she likes.
        "add-user" => &["frame"],
        "accept-invitation"
        | "answer-friend-request"
        | "complete-upload"
        | "create-friend-request"
        | "decline-invitation"
        | "delete-chat"
        | "delete-room"
        | "invite"
        | "join-room"
        | "leave-room"
        | "pass-ownership"
        | "remove-avatar"
        | "remove-friend"
        | "remove-member"
        | "remove-room-avatar"
        | "renew-join-code"
        | "revoke-invitation"
        | "update-member"
        | "update-membership"
        | "update-room"
        | "update-user" => &["frame"],
        // Others are told of them.
        "update-profile" | "update-settings" | "withdraw-friend-request" => &["frame", "shown"],
        // Otherwise a thief of a session could keep its user from ending it.
        "logout" | "revoke-session" => &[],
        "bootstrap" | "get-chat" | "get-group-messages" | "get-message" | "get-presence" | "get-profile"
        | "get-room" | "get-settings" | "get-upload" | "get-upload-urls" | "sync" => &["read"],
        _ if function.starts_with("list-") => &["read"],
        _ => panic!("{function} needs a row in tests/tables/counting.rs"),
    }
}

/// The same for an event.
fn counted_by_event(event: ClientEvent) -> &'static [&'static str] {
    match event {
        ClientEvent::SendMessage
        | ClientEvent::GroupMessage
        | ClientEvent::EditMessage
        | ClientEvent::DeleteMessage => &["message"],
        ClientEvent::SendMessages => &["message", "message"],
        ClientEvent::CreateGroup | ClientEvent::NewChatRoom => &["frame", "room"],
        ClientEvent::Sync => &["read"],
        _ => &["frame"],
    }
}

/// How much the open windows of a person have counted, by the names of the limits.
async fn counts(app: &TestApp, person: &Person) -> BTreeMap<String, u64> {
    let sql = format!("SELECT name, tally & 1048575 FROM rate_limits WHERE subject = '{}'", person.user_id);
    app.rows::<(String, u64)>(&sql).await.into_iter().collect()
}

/// What was counted between two moments, each name as often as it was.
fn between(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<String> {
    let more = after.iter().map(|(name, count)| (name, count - before.get(name).unwrap_or(&0)));
    more.flat_map(|(name, count)| vec![name.clone(); count as usize]).collect()
}

#[tokio::test]
async fn every_request_and_frame_counts_once_toward_its_limits() {
    let app = TestApp::start().await;
    for function in functions::catalogue().into_keys() {
        let world = World::new(&app, function).await;
        let Some(call) = world.call(function) else { continue };
        let before = counts(&app, &world.ann).await;
        let answer = call.by(&world.ann).await;
        assert!((200..400).contains(&answer.status), "{function}: {}", answer.json);
        let counted = between(&before, &counts(&app, &world.ann).await);
        assert_eq!(counted, counted_by_function(function), "{function}");
    }
    for &event in ClientEvent::ALL {
        let name = event.name();
        let world = World::new(&app, &format!("event-{name}")).await;
        let mut socket = world.ann.connect().await;
        let before = counts(&app, &world.ann).await;
        let frame = socket.ask(name, world.frame(event)).await;
        assert_ne!(frame["event"], "error", "{name}: {frame}");
        let counted = between(&before, &counts(&app, &world.ann).await);
        assert_eq!(counted, counted_by_event(event), "{name}");
    }
}

#[tokio::test]
async fn a_stranger_who_is_added_counts_and_a_friend_does_not() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let dan = world.dan("dan").await;
    let before = counts(&app, &world.ann).await;
    let path = format!("/groups/{}/add-user", world.group);
    for user_id in [&dan.user_id, &world.carl.user_id] {
        world.ann.post(&path, json!({"userId": user_id})).await.ok();
    }
    let members = json!([dan.user_id, world.bob.user_id, world.carl.user_id]);
    world.ann.post("/groups", json!({"name": "Hikers", "members": members})).await.created();
    let counted = between(&before, &counts(&app, &world.ann).await);
    assert_eq!(counted, ["add", "add", "add", "frame", "frame", "frame", "room"]);
}
