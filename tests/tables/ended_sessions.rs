//! A session that ends while one of its requests is under way. Whatever a request writes, it looks at the session again
//! under its locks, so that nothing is written once a logout has been answered.

use super::world::World;
use crate::harness::TestApp;
use mysql_async::prelude::Queryable;

/// The text of the statement that looks at the session, or `None` for functions that write nothing in a room or about
/// a person.
fn looks(function: &str) -> Option<&'static str> {
    match function {
        "list-sessions"
        | "list-users"
        | "get-presence"
        | "get-profile"
        | "get-settings"
        | "list-coins"
        | "list-invitations"
        | "list-members"
        | "list-chat"
        | "list-chats"
        | "list-replies"
        | "list-mentions"
        | "get-chat"
        | "get-group-messages"
        | "get-message"
        | "bootstrap"
        | "get-room"
        | "get-upload"
        | "get-upload-urls"
        | "sync"
        | "list-friend-requests"
        | "list-friends" => None,
        // A ticket is worth nothing without its session.
        "logout" | "create-ticket" => None,
        "invite" => Some("INSERT INTO invitations"),
        "upload" | "create-upload" => Some("INSERT INTO uploads"),
        "send-message" | "send-messages" => Some("sessions s FORCE INDEX"),
        _ => Some("FROM sessions WHERE session_id"),
    }
}

#[tokio::test]
async fn functions_write_nothing_after_their_session_has_ended() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let session = world.ann.session_id();
    for function in functions::catalogue().into_keys() {
        let (Some(call), Some(looks)) = (world.call(function), looks(function)) else { continue };
        let end = format!("UPDATE sessions SET revoked_at = UTC_TIMESTAMP(3) WHERE session_id = '{session}'");
        let mut logout = app.holding(&end).await;
        let waiting = async {
            app.until_waiting(looks).await;
            logout.query_drop("COMMIT").await.unwrap();
        };
        let (answer, ()) = tokio::join!(call.by(&world.ann), waiting);
        assert_eq!((answer.status, &answer.json["code"]), (401, &"unauthenticated".into()), "{function}");
        app.run("UPDATE sessions SET revoked_at = NULL WHERE session_id = ?", (&session,)).await;
    }
    super::authorization::check_unchanged(&world).await;
}
