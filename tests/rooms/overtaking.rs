//! A request or frame that waits for a room's lock obeys what is committed in the meantime.
//!
//! The test holds the lock until the request waits for it, and commits a change that somebody else could make at that
//! moment.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Transaction, TxOpts};
use serde_json::json;

use crate::harness::{Person, ROOM_PASSWORD, TestApp};

/// Runs `act` while a room is locked. Once a statement that contains `waiting` waits, it runs `commit` (with the
/// ids of the room and of a user) under the lock and commits it.
async fn meanwhile<T>(
    app: &TestApp,
    room: u64,
    (waiting, commit): (&str, &str),
    user: &Person,
    act: impl Future<Output = T>,
) -> T {
    let mut holder = app.database().await;
    let mut held = lock(&mut holder, room).await;
    let overtake = async {
        app.until_waiting(waiting).await;
        let commit =
            commit.replace(":room", &room.to_string()).replace(":user", &format!("'{}'", user.user_id));
        held.query_drop(commit).await.unwrap();
        held.commit().await.unwrap();
    };
    tokio::join!(act, overtake).0
}

async fn lock(holder: &mut Conn, room: u64) -> Transaction<'_> {
    let mut held = holder.start_transaction(TxOpts::default()).await.unwrap();
    held.query_drop(format!("SELECT id FROM rooms WHERE id = {room} FOR UPDATE")).await.unwrap();
    held
}

const LOCK: &str = "updated_at FROM rooms WHERE";
const SEND: &str = "FROM rooms FORCE INDEX (PRIMARY)";
const INVITE: &str = "INSERT INTO invitations";
const NO_MEMBER: &str = "DELETE FROM room_members WHERE room_id = :room AND user_id = :user";
const NO_ROOM: &str = "DELETE FROM rooms WHERE id = :room";

async fn room_of_two(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    (ann, bob, room)
}

/// Checks that a frame changes nothing if its session ends while it waits for the room.
async fn ends_while_waiting(event: &str, joined: bool, statement: &str) {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    if !joined {
        bob.leaves(room).await.no_content();
    }
    let before = ann.reads(room).await;
    let mut socket = bob.connect().await;
    let mut holder = app.database().await;
    let held = lock(&mut holder, room).await;
    socket.send(event, json!({"roomId": room, "content": "too late", "password": ROOM_PASSWORD})).await;
    app.until_waiting(statement).await;
    bob.post("/api/auth/logout", json!({})).await.no_content();
    held.rollback().await.unwrap();
    // Locks are granted in turn: this one after the frame's.
    let after = lock(&mut holder, room).await;
    after.rollback().await.unwrap();
    assert_eq!(ann.reads(room).await, before);
    assert_eq!(ann.roles(room).await.len(), 1 + usize::from(joined));
    assert_eq!(socket.until_closed().await.1, 1000);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_message_that_waits_while_its_session_ends_is_not_sent() {
    ends_while_waiting("sendMessage", true, SEND).await;
}

#[tokio::test]
async fn a_member_whose_session_ends_while_waiting_to_leave_stays() {
    ends_while_waiting("leaveRoom", true, LOCK).await;
}

#[tokio::test]
async fn a_user_whose_session_ends_while_waiting_to_join_stays_out() {
    ends_while_waiting("joinRoom", false, LOCK).await;
}

#[tokio::test]
async fn a_message_that_waits_while_its_sender_is_removed_is_not_sent() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let answer = meanwhile(&app, room, (SEND, NO_MEMBER), &bob, bob.says(room, "too late")).await;
    answer.refused(403, "not_a_member");
    assert_eq!(ann.reads(room).await.len(), 1);

    let (ann, bob, room) = (ann.clone(), app.prime("bert").await, room);
    // The deletion above freed a seat without changing the count.
    app.run("UPDATE rooms SET member_count = 1 WHERE id = ?", (room,)).await;
    bob.joins(room).await.created();
    let mut socket = bob.connect().await;
    let frame = socket.refused("sendMessage", json!({"roomId": room, "content": "too late"}), "not_a_member");
    meanwhile(&app, room, (SEND, NO_MEMBER), &bob, frame).await;
    assert_eq!(ann.reads(room).await.len(), 2);
}

#[tokio::test]
async fn a_message_that_waits_while_the_room_is_deleted_is_not_sent() {
    let app = TestApp::start().await;
    let (_, bob, room) = room_of_two(&app).await;
    let answer = meanwhile(&app, room, (SEND, NO_ROOM), &bob, bob.says(room, "too late")).await;
    answer.refused(404, "room_not_found");
}

#[tokio::test]
async fn a_user_who_waits_to_join_a_room_that_is_deleted_gets_404() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    let joined = meanwhile(&app, room, (LOCK, NO_ROOM), &bob, bob.joins(room)).await;
    joined.refused(404, "room_not_found");
    let room = ann.opens_a_room().await;
    let invited = ann.invites(room, &bob).await.created();
    let token = invited["inviteToken"].as_str().unwrap();
    let joined = meanwhile(&app, room, (LOCK, NO_ROOM), &bob, bob.redeems(token)).await;
    joined.refused(403, "invitation_invalid");
}

#[tokio::test]
async fn a_user_whose_invitation_is_revoked_while_waiting_to_join_stays_out() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    let changes = [
        ("UPDATE invitations SET revoked_at = UTC_TIMESTAMP(3) WHERE room_id = :room", "invitation_invalid"),
        ("UPDATE users SET prime = FALSE WHERE user_id = :user", "invitee_not_prime"),
    ];
    for (change, code) in changes {
        let invited = ann.invites(room, &bob).await.created();
        let token = invited["inviteToken"].as_str().unwrap();
        meanwhile(&app, room, (LOCK, change), &bob, bob.redeems(token)).await.refused(403, code);
    }
    assert_eq!(ann.roles(room).await.len(), 1);
}

#[tokio::test]
async fn an_invitation_that_is_being_revoked_is_refused() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    let invited = ann.invites(room, &bob).await.created();
    let mut revoker = app.database().await;
    let mut revocation = revoker.start_transaction(TxOpts::default()).await.unwrap();
    let revoke = "UPDATE invitations SET revoked_at = UTC_TIMESTAMP(3) WHERE room_id = ?";
    revocation.exec_drop(revoke, (room,)).await.unwrap();
    let commit = async {
        app.until_waiting("invitation_id FROM invitations").await;
        revocation.commit().await.unwrap();
    };
    let (joined, ()) = tokio::join!(bob.redeems(invited["inviteToken"].as_str().unwrap()), commit);
    joined.refused(403, "invitation_invalid");
}

#[tokio::test]
async fn an_invitation_that_waits_is_refused_if_it_is_no_longer_allowed() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let join = "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
                VALUES (:room, :user, 'member', 0, UTC_TIMESTAMP(3), 0)";
    let unprime = "UPDATE users SET prime = FALSE WHERE user_id = :user";
    let changes = [
        ("eve", NO_MEMBER, (403, "not_a_member"), true),
        ("bob", unprime, (403, "invitee_not_prime"), false),
        ("cid", join, (400, "invalid_request"), false),
        ("dan", NO_ROOM, (404, "room_not_found"), false),
    ];
    for (name, change, (status, code), of_inviter) in changes {
        let invitee = app.prime(name).await;
        let room = ann.opens_a_room().await;
        let user = if of_inviter { &ann } else { &invitee };
        let answer = meanwhile(&app, room, (INVITE, change), user, ann.invites(room, &invitee)).await;
        answer.refused(status, code);
        let list = invitee.get("/api/invitations").await;
        if name != "bob" {
            assert_eq!(list.ok(), json!({"invitations": [], "next": null}));
        }
    }
}

#[tokio::test]
async fn a_user_who_loses_their_role_while_waiting_cannot_remove_appoint_or_delete() {
    let app = TestApp::start().await;
    let (ann, bob, room) = room_of_two(&app).await;
    let moderator = app.prime("mia").await;
    moderator.joins(room).await.created();
    ann.appoints(room, &moderator, "moderator").await.ok();
    let member = "UPDATE room_members SET role = 'member' WHERE room_id = :room AND user_id = :user";
    let demoted = (LOCK, member);
    let removed = meanwhile(&app, room, demoted, &moderator, moderator.removes(room, &bob)).await;
    removed.refused(403, "room_role_required");
    let appointed = meanwhile(&app, room, demoted, &ann, ann.appoints(room, &bob, "moderator")).await;
    appointed.refused(403, "room_role_required");
    app.run("UPDATE room_members SET role = 'owner' WHERE room_id = ? AND user_id = ?", (room, &ann.user_id))
        .await;
    let path = format!("/api/rooms/{room}");
    let deletion = ann.delete(&path);
    meanwhile(&app, room, demoted, &ann, deletion).await.refused(403, "room_role_required");

    let admin = app.user("admin").await;
    app.set_role(&ann, "admin").await;
    app.set_role(&admin, "admin").await;
    let channel = ann.makes_a_channel("General").await;
    bob.joins(channel).await.created();
    let demoted = (LOCK, "UPDATE users SET role = 'user' WHERE user_id = :user");
    let removed = meanwhile(&app, channel, demoted, &admin, admin.removes(channel, &bob)).await;
    removed.refused(403, "not_a_member");
    assert_eq!((bob.roles(room).await.len(), bob.roles(channel).await.len()), (3, 2));
}
