//! Who is refused by each function and event: requests without a token, with an expired one or with that of a revoked
//! session; users of another organization; non-members; and users whose role is too low.
//!
//! A new function gets a row in `rights`. An event has its rights from its `Permission`; it needs a row in
//! `event_rights` only if it has a new permission, or if users of another organization get another code than
//! `room_not_found`.

use serde_json::json;
use shared::events::client_event::{ClientEvent, Permission};

use super::world::World;
use crate::harness::{Answer, Person, TestApp};

/// What somebody other than Ann gets for a request of [`World::call`] or a frame of [`World::frame`].
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// A refusal with this status and code.
    No(u16, &'static str),
    /// A success that shows or changes only their own things, so it must contain none of [`World::secrets`].
    Own,
    /// The same as any user of the organization.
    Yes,
}

use Gets::{No, Own, Yes};

/// What `(Eve, Dan, Bob)` get from each function. Eve is a prime admin of another organization, Dan a prime user
/// who is not a member of the rooms, and Bob a member with a lower role.
fn rights(function: &str) -> (Gets, Gets, Gets) {
    let not_found = |code| No(404, code);
    let room = not_found("room_not_found");
    let message = not_found("message_not_found");
    let outside = No(403, "not_a_member");
    match function {
        "get-settings" | "update-settings" => (Own, Own, Own),
        "get-presence" => (Own, Yes, Yes),
        "logout" | "create-ticket" | "list-sessions" | "list-coins" | "list-invitations" | "list-friends"
        | "list-mentions" => (Own, Own, Own),
        // Bob's profile shows himself.
        "update-profile" | "set-avatar" | "remove-avatar" => (Own, Own, Yes),
        "list-users" | "list-chat" => (Own, Yes, Yes),
        // Bob's list contains Ann.
        "bootstrap" | "list-chats" | "list-friend-requests" => (Own, Own, Yes),
        "revoke-session" => {
            (not_found("session_not_found"), not_found("session_not_found"), not_found("session_not_found"))
        }
        "get-profile" => (not_found("user_not_found"), Yes, Yes),
        "update-user" => (not_found("user_not_found"), No(403, "role_required"), No(403, "role_required")),
        "create-chat" | "renew-join-code" => (Own, No(403, "role_required"), No(403, "role_required")),
        "delete-chat" => (room, No(403, "role_required"), No(403, "role_required")),
        "create-chatroom" => (Own, Own, No(403, "prime_required")),
        "invite" => (room, No(403, "not_room_creator"), No(403, "not_room_creator")),
        "revoke-invitation" | "accept-invitation" | "decline-invitation" => (
            not_found("invitation_not_found"),
            not_found("invitation_not_found"),
            not_found("invitation_not_found"),
        ),
        "join-room" => (room, Yes, Yes),
        "leave-room" => (room, outside, Yes),
        "update-membership" => (room, outside, Yes),
        "get-room" | "list-members" | "send-message" | "send-messages" | "get-chat"
        | "get-group-messages" | "upload" | "create-upload" => (room, outside, Yes),
        // The receiver is Bob, who must not write to himself.
        "send-direct" => (not_found("user_not_found"), Yes, No(400, "invalid_request")),
        "create-group" => (not_found("user_not_found"), Yes, Yes),
        "add-user" => (room, outside, No(403, "room_role_required")),
        "get-upload" => (not_found("upload_not_found"), outside, Yes),
        // Only the uploader may send the file.
        "complete-upload" => {
            (not_found("upload_not_found"), not_found("upload_not_found"), not_found("upload_not_found"))
        }
        // Files that one may not have are left out.
        "get-upload-urls" => (Own, Own, Yes),
        "delete-room" | "update-member" | "update-room" | "pass-ownership" | "set-room-avatar"
        | "remove-room-avatar" => (room, outside, No(403, "room_role_required")),
        // The member is Bob, who must leave instead.
        "remove-member" => (room, outside, No(400, "invalid_request")),
        "list-replies" => (message, outside, Yes),
        "get-message" => (message, outside, Yes),
        "edit-message" => (message, outside, No(403, "not_sender")),
        "delete-message" => (message, outside, No(403, "room_role_required")),
        "sync" => (Own, Own, Yes),
        "create-friend-request" => (not_found("user_not_found"), Yes, No(400, "invalid_request")),
        // Bob sent the one request, so he may not answer it; the other one is Ann's.
        "answer-friend-request" | "withdraw-friend-request" => (
            not_found("friend_request_not_found"),
            not_found("friend_request_not_found"),
            not_found("friend_request_not_found"),
        ),
        "remove-friend" => {
            (not_found("friend_not_found"), not_found("friend_not_found"), not_found("friend_not_found"))
        }
        _ => panic!("{function} needs a row in tests/tables/authorization.rs"),
    }
}

/// The same for each event, by its permission.
fn event_rights(event: ClientEvent) -> (Gets, Gets, Gets) {
    let outside = No(403, "not_a_member");
    let foreign = No(
        404,
        match event {
            ClientEvent::EditMessage | ClientEvent::DeleteMessage | ClientEvent::ReactMessage => {
                "message_not_found"
            }
            ClientEvent::SendFile => "upload_not_found",
            // The frame names Bob or Carl, whom Eve cannot find.
            ClientEvent::NewChatRoom | ClientEvent::CreateGroup => "user_not_found",
            _ => "room_not_found",
        },
    );
    match event.permission() {
        Permission::Anyone => match event {
            ClientEvent::Ping => (Own, Own, Own),
            ClientEvent::Sync => (Own, Own, Yes),
            _ => (foreign, Yes, Yes),
        },
        Permission::Organization => (foreign, Yes, Yes),
        Permission::Member => (foreign, outside, Yes),
        Permission::Sender => (foreign, outside, No(403, "not_sender")),
        Permission::SenderOrModerator => (foreign, outside, No(403, "room_role_required")),
        Permission::Uploader => (foreign, foreign, foreign),
        Permission::ChannelMaker => (foreign, No(403, "role_required"), No(403, "role_required")),
    }
}

/// Sends a function's request as `person`. `None` if [`World::call`] has no request for the function.
async fn ask(world: &World<'_>, function: &str, person: &Person) -> Option<Answer> {
    Some(world.call(function)?.by(person).await)
}

#[tokio::test]
async fn every_function_refuses_a_missing_or_invalid_token() {
    let app = &TestApp::start().await;
    let world = World::new(app, "tea").await;
    let (expired, revoked) = (app.user("expired").await, app.user("revoked").await);
    app.run("UPDATE sessions SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?", (&expired.user_id,)).await;
    revoked.post("/api/auth/logout", json!({})).await.no_content();
    let tokens = [
        ("no token", String::new()),
        ("a forged token", format!("{}x", world.ann.access_token)),
        ("an expired token", world.ann.expired_token()),
        ("the token of a revoked session", revoked.access_token),
        ("the token of an expired session", expired.access_token),
    ];
    for function in functions::catalogue().into_keys() {
        for (what, token) in &tokens {
            let mut nobody = world.ann.clone();
            nobody.access_token.clone_from(token);
            let Some(answer) = ask(&world, function, &nobody).await else { continue };
            let code = answer.json["code"].as_str();
            assert_eq!((answer.status, code), (401, Some("unauthenticated")), "{function} with {what}");
        }
    }
    check_unchanged(&world).await;
}

/// Whether the response is a success or a redirect.
fn is_granted(answer: &Answer) -> bool {
    (200..400).contains(&answer.status)
}

/// Sends a function's request as somebody else, and checks that they get what they should.
async fn check_function(world: &World<'_>, function: &str, person: &Person, gets: Gets) {
    let Some(answer) = ask(world, function, person).await else { return };
    let whole = answer.json.to_string();
    match gets {
        No(status, code) => {
            assert_eq!((answer.status, &answer.json["code"]), (status, &code.into()), "{function}: {whole}");
        }
        Own | Yes => assert!(is_granted(&answer), "{function}: {whole}"),
    }
    if matches!(gets, No(404, _) | Own) {
        holds_no_secret(world, function, &whole);
    }
}

fn holds_no_secret(world: &World<'_>, name: &str, answer: &str) {
    for secret in world.secrets() {
        assert!(!answer.contains(&format!("\"{secret}\"")), "{name} reveals `{secret}`: {answer}");
    }
}

#[tokio::test]
async fn functions_give_other_organizations_no_access() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    for function in functions::catalogue().into_keys().filter(|function| world.call(function).is_some()) {
        let eve = foreign_admin(world.app, &format!("eve-{function}")).await;
        check_function(&world, function, &eve, rights(function).0).await;
    }
    check_unchanged(&world).await;
}

#[tokio::test]
async fn functions_give_non_members_no_access_to_a_room() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    for function in functions::catalogue().into_keys().filter(|function| world.call(function).is_some()) {
        let dan = world.dan(&format!("dan-{function}")).await;
        check_function(&world, function, &dan, rights(function).1).await;
    }
    check_unchanged(&world).await;
}

#[tokio::test]
async fn functions_refuse_a_role_that_is_too_low() {
    let app = TestApp::start().await;
    for function in functions::catalogue().into_keys() {
        let world = World::new(&app, function).await;
        if world.call(function).is_some() {
            check_function(&world, function, &world.bob, rights(function).2).await;
        }
    }
}

#[tokio::test]
async fn functions_allow_an_authorized_user() {
    let app = TestApp::start().await;
    for function in functions::catalogue().into_keys() {
        let world = World::new(&app, function).await;
        let Some(answer) = ask(&world, function, &world.ann).await else { continue };
        assert!(is_granted(&answer), "{function}: {}", answer.json);
    }
}

#[tokio::test]
async fn events_give_other_organizations_and_non_members_no_access() {
    let app = TestApp::start().await;
    for protocol in ["frames", "packets"] {
        let world = World::new(&app, protocol).await;
        for &event in ClientEvent::ALL {
            let (foreign, outside, _) = event_rights(event);
            let eve = foreign_admin(world.app, &format!("eve-{protocol}-{}", event.name())).await;
            let dan = world.dan(&format!("dan-{protocol}-{}", event.name())).await;
            for (person, gets) in [(&eve, foreign), (&dan, outside)] {
                check_event(&world, protocol, event, person, gets).await;
            }
        }
        check_unchanged(&world).await;
    }
}

#[tokio::test]
async fn events_refuse_a_role_that_is_too_low() {
    let app = TestApp::start().await;
    for protocol in ["frames", "packets"] {
        for &event in ClientEvent::ALL {
            // What Bob may do changes the world.
            let world = World::new(&app, &format!("{protocol}-{}", event.name())).await;
            check_event(&world, protocol, event, &world.bob, event_rights(event).2).await;
        }
    }
}

/// Sends an event as somebody else, and checks that they get what they should.
async fn check_event(world: &World<'_>, protocol: &str, event: ClientEvent, person: &Person, gets: Gets) {
    let name = event.name();
    let mut socket = match protocol {
        "packets" => person.connect_socket_io().await,
        _ => person.connect().await,
    };
    let answer = socket.ask(name, world.frame(event)).await;
    match gets {
        No(_, code) => assert_eq!(answer["data"]["code"], code, "{name} in {protocol}: {answer}"),
        Own | Yes => assert_ne!(answer["event"], "error", "{name} in {protocol}: {answer}"),
    }
    if !matches!(gets, Yes) {
        holds_no_secret(world, name, &answer.to_string());
    }
}

#[tokio::test]
async fn every_event_is_refused_on_an_expired_or_unknown_socket() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    for &event in ClientEvent::ALL {
        let name = event.name();
        for end in [
            "UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?",
            "DELETE FROM connections WHERE user_id = ?",
        ] {
            let dan = world.dan(&format!("dan-{name}-{}", end.len())).await;
            for mut socket in [dan.connect().await, dan.connect_socket_io().await] {
                app.run(end, (&dan.user_id,)).await;
                socket.refused(name, world.frame(event), "unauthenticated").await;
                assert_eq!(socket.closed().await, 1000, "{name}");
            }
        }
    }
    check_unchanged(&world).await;
}

/// A prime admin of another organization.
async fn foreign_admin(app: &TestApp, user_id: &str) -> Person {
    let eve = app.foreigner(user_id).await;
    app.set_role(&eve, "admin").await;
    eve
}

/// Checks that none of these requests has changed the world.
pub(super) async fn check_unchanged(world: &World<'_>) {
    let ann = world.ann.get("/api/profile/me").await.ok();
    assert_eq!((&ann["role"], &ann["prime"], &ann["name"]), (&"admin".into(), &true.into(), &ann["userId"]));
    let bob = world.bob.get("/api/profile/me").await.ok();
    assert_eq!(
        (&bob["role"], &bob["prime"], &bob["availCoins"]),
        (&"user".into(), &false.into(), &1000.into())
    );
    let history = world.bob.reads(world.room).await;
    assert!(history.iter().any(|(_, content)| content == "Tea is ready"), "{history:?}");
    assert!(!history.iter().any(|(_, content)| content == "Hello" || content == "removed"), "{history:?}");
}
