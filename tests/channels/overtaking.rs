//! A request or frame that waits for a lock obeys what is committed in the meantime, such as a logout or a change
//! of role.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, Socket, TestApp};

/// The statement that locks the organization and then the creator, for a channel and for a prime room.
const RANK: &str = "FROM organizations o STRAIGHT_JOIN users u";
const DEMOTE: &str = "UPDATE users SET role = 'user' WHERE user_id = ?";
/// What remains if the function that ends a session is killed between its commit and the close of the socket.
const END: &str =
    "UPDATE connections SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE WHERE user_id = ?";

/// Runs `act` while a user's row is locked. Once the statement `waiting` waits, it runs `change` and releases the
/// lock.
async fn meanwhile<T>(
    app: &TestApp,
    user: &Person,
    (waiting, change): (&str, &str),
    act: impl Future<Output = T>,
) -> T {
    let lock = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", user.user_id);
    let mut holder = app.holding(&lock).await;
    let overtake = async {
        app.until_waiting(waiting).await;
        holder.exec_drop(change, (&user.user_id,)).await.unwrap();
        holder.query_drop("COMMIT").await.unwrap();
    };
    tokio::join!(act, overtake).0
}

#[tokio::test]
async fn a_moderator_who_is_demoted_while_waiting_cannot_create_a_channel() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let made = ann.post("/api/chat", json!({"name": "General"}));
    meanwhile(&app, &ann, (RANK, DEMOTE), made).await.refused(403, "role_required");
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 0);
}

#[tokio::test]
async fn a_user_who_loses_prime_while_waiting_cannot_create_a_prime_room() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let made = ann.post("/api/chatrooms", json!({"password": "open sesame"}));
    let change = "UPDATE users SET prime = FALSE WHERE user_id = ?";
    meanwhile(&app, &ann, (RANK, change), made).await.refused(403, "prime_required");
}

#[tokio::test]
async fn a_socket_whose_session_ends_while_it_waits_cannot_create_a_channel() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    let lock = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", ann.user_id);
    let mut holder = app.holding(&lock).await;
    anns.send("newChatRoom", json!({"roomName": "Too late"})).await;
    app.until_waiting(RANK).await;
    app.run(END, (&ann.user_id,)).await;
    holder.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(anns.receives("error").await["code"], "unauthenticated");
    bobs.has_nothing().await;
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 0);
}

#[tokio::test]
async fn an_admin_who_is_demoted_while_waiting_cannot_delete_a_channel() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let channel = ann.makes_a_channel("General").await;
    let mut holder = app.holding(&format!("SELECT 1 FROM rooms WHERE id = {channel} FOR UPDATE")).await;
    let demotion = async {
        app.until_waiting("updated_at FROM rooms WHERE").await;
        app.run(DEMOTE, (&ann.user_id,)).await;
        holder.query_drop("COMMIT").await.unwrap();
    };
    let path = format!("/api/chat/{channel}");
    let (deleted, ()) = tokio::join!(ann.delete(&path), demotion);
    deleted.refused(403, "role_required");
    assert_eq!(ann.get("/api/chat").await.ok()["total"], 1);
}

#[tokio::test]
async fn a_read_position_does_not_move_if_the_session_ends_while_it_waits() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let channel = ann.makes_a_channel("General").await;
    ann.says(channel, "hello").await.created();
    let mut socket = ann.connect().await;
    let mut holder = app.holding(&format!("SELECT 1 FROM rooms WHERE id = {channel} FOR UPDATE")).await;
    socket.send("readMessage", json!({"roomId": channel, "seq": 1})).await;
    app.until_waiting("UPDATE rooms r").await;
    app.run(END, (&ann.user_id,)).await;
    holder.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(socket.receives("error").await["code"], "unauthenticated");
    let positions: Vec<u64> =
        app.rows(&format!("SELECT read_seq FROM room_members WHERE room_id = {channel}")).await;
    assert_eq!(positions, [0]);
}

/// Sends each frame as Bob and runs `change` while the frame waits in its rate limit check. The frame must be refused
/// with `code`.
async fn overtaken(app: &TestApp, bob: &Person, frames: &[(&str, Value)], change: &str, code: &str) {
    let lock = format!("SELECT 1 FROM rate_limits WHERE subject = '{}' FOR UPDATE", bob.user_id);
    for (event, data) in frames {
        let mut bobs = bob.connect().await;
        // Starts the window, so that there is a row to lock.
        bobs.has_nothing().await;
        let mut holder = app.holding(&lock).await;
        bobs.send(event, data.clone()).await;
        app.until_waiting("INSERT INTO rate_limits").await;
        app.run(change, (&bob.user_id,)).await;
        holder.query_drop("ROLLBACK").await.unwrap();
        assert_eq!(bobs.receives("error").await["code"], code, "{event}");
    }
}

#[tokio::test]
async fn no_typing_is_pushed_after_a_logout_during_its_rate_limit_check() {
    let app = TestApp::start().await;
    let (_, mut anns, bob, channel) = a_channel_of_bobs(&app).await;
    let mut bobs = bob.connect().await;
    bobs.acked("typing", json!({"roomId": channel})).await;
    anns.receives("typing").await;
    // The next window.
    app.run("UPDATE rate_limits SET tally = tally - (2000 << 20) WHERE name = 'typing'", ()).await;
    let frames =
        format!("SELECT tally FROM rate_limits WHERE name = 'frame' AND subject = '{}'", bob.user_id);
    let before: Vec<u64> = app.rows(&frames).await;
    let mut holder = app.holding("SELECT 1 FROM rate_limits WHERE name = 'typing' FOR UPDATE").await;
    bobs.send("typing", json!({"roomId": channel})).await;
    // The frame limit is counted by a statement like this too, and does not wait. The tally holds its window's start
    // beside the count, so it changes even if a new window begins.
    let counted = async {
        while app.rows::<u64>(&frames).await == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), counted).await.expect("the frame is not counted");
    app.until_waiting("INSERT INTO rate_limits").await;
    app.run(END, (&bob.user_id,)).await;
    holder.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(bobs.receives("error").await["code"], "unauthenticated");
    anns.has_nothing().await;
}

/// Ann, the founder, with a socket; Bob, a moderator; and a channel that Bob created and Ann joined.
async fn a_channel_of_bobs(app: &TestApp) -> (Person, Socket, Person, u64) {
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    app.set_role(&bob, "moderator").await;
    let channel = bob.makes_a_channel("General").await;
    ann.joins(channel).await.created();
    let anns = ann.connect().await;
    (ann, anns, bob, channel)
}

#[tokio::test]
async fn no_typing_or_announcement_is_pushed_after_a_logout() {
    let app = TestApp::start().await;
    let (ann, mut anns, bob, channel) = a_channel_of_bobs(&app).await;
    let frames = [
        ("typing", json!({"roomId": channel})),
        ("stopTyping", json!({"roomId": channel})),
        ("newChatRoom", json!({"roomName": "General", "roomId": channel})),
        ("newChatRoom", json!({"roomName": "General", "roomId": channel, "invitedUsers": [ann.user_id]})),
    ];
    overtaken(&app, &bob, &frames, END, "unauthenticated").await;
    anns.has_nothing().await;
}

#[tokio::test]
async fn nobody_announces_the_channel_of_another_after_their_demotion() {
    let app = TestApp::start().await;
    let (ann, mut anns, bob, _) = a_channel_of_bobs(&app).await;
    let of_ann = ann.makes_a_channel("Ann's").await;
    anns.receives("newChatRoom").await;
    let frames = [("newChatRoom", json!({"roomName": "Ann's", "roomId": of_ann}))];
    overtaken(&app, &bob, &frames, DEMOTE, "role_required").await;
    anns.has_nothing().await;
}

#[tokio::test]
async fn a_member_who_has_just_left_is_not_shown_as_typing() {
    let app = TestApp::start().await;
    let (_, mut anns, bob, channel) = a_channel_of_bobs(&app).await;
    let leave = format!("DELETE FROM room_members WHERE room_id = {channel} AND user_id = ?");
    overtaken(&app, &bob, &[("typing", json!({"roomId": channel}))], &leave, "not_a_member").await;
    anns.has_nothing().await;
}

/// A change of a role locks the organization's row and then the user's. A request that creates a room must wait for
/// the first without holding another lock, or the two would deadlock.
#[tokio::test]
async fn waiting_to_create_a_room_does_not_block_a_change_of_the_creators_role() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    let own = ann.get("/api/profile/me").await.ok()["organization"]["id"].clone();
    let rooms = [
        (RANK, "/api/chat", json!({"name": "General"})),
        (RANK, "/api/chatrooms", json!({"password": "open sesame"})),
        ("FROM organizations o", "/groups", json!({"name": "Hikers", "members": [bob.user_id]})),
        (RANK, "/api/organization/join-code", json!({})),
        ("FROM organizations", "/chats/send-message", json!({"userId": bob.user_id, "content": "Hello"})),
    ];
    for (waiting, path, body) in rooms {
        let mut holder =
            app.holding(&format!("SELECT 1 FROM organizations WHERE id = {own} FOR UPDATE")).await;
        let change = async {
            app.until_waiting(waiting).await;
            let lock = "SELECT 1 FROM users WHERE user_id IN (?, ?) FOR UPDATE NOWAIT";
            holder.exec_drop(lock, (&ann.user_id, &bob.user_id)).await.expect(path);
            holder.query_drop("COMMIT").await.unwrap();
        };
        let (made, ()) = tokio::join!(ann.post(path, body), change);
        made.created();
    }
    app.invariants_hold().await;
}
