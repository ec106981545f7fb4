use serde_json::json;

use crate::harness::{Person, TestApp};

/// A room that Ann owns, with Bob and Cid as members.
async fn room_of_three(app: &TestApp) -> (Person, Person, Person, u64) {
    let (ann, bob, cid) = (app.prime("ann").await, app.user("bob").await, app.user("cid").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    cid.joins(room).await.created();
    (ann, bob, cid, room)
}

#[tokio::test]
async fn the_owner_can_appoint_and_demote_moderators() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    for role in ["moderator", "moderator", "member"] {
        let answer = ann.appoints(room, &bob, role).await.ok();
        assert_eq!(
            (&answer["member"]["userId"], &answer["member"]["role"]),
            (&json!(bob.user_id), &json!(role))
        );
        assert_eq!(ann.roles(room).await[1], (bob.user_id.clone(), role.to_owned()));
    }
    let socket = bob.connect().await;
    assert_eq!(ann.appoints(room, &bob, "moderator").await.ok()["member"]["online"], true);
    socket.close().await;
    assert_eq!(ann.reads(room).await.len(), 2, "a change of role is not in the history");
    app.invariants_hold().await;
}

#[tokio::test]
async fn only_the_owner_can_change_roles() {
    let app = TestApp::start().await;
    let (ann, bob, cid, room) = room_of_three(&app).await;
    cid.appoints(room, &bob, "moderator").await.refused(403, "room_role_required");
    cid.appoints(room, &cid, "moderator").await.refused(403, "room_role_required");
    ann.appoints(room, &bob, "moderator").await.ok();
    bob.appoints(room, &cid, "moderator").await.refused(403, "room_role_required");
    bob.appoints(room, &ann, "member").await.refused(403, "room_role_required");
    app.user("eve").await.appoints(room, &bob, "member").await.refused(403, "not_a_member");
    let roles: Vec<_> = ann.roles(room).await.into_iter().map(|(_, role)| role).collect();
    assert_eq!(roles, ["owner", "moderator", "member"]);
}

#[tokio::test]
async fn an_owner_can_neither_demote_themselves_nor_appoint_another_owner() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    assert_eq!(ann.appoints(room, &ann, "member").await.wrong_fields(), ["userId"]);
    assert_eq!(ann.appoints(room, &bob, "owner").await.wrong_fields(), ["role"]);
    let path = format!("/api/rooms/{room}/members/{}", bob.user_id);
    for wrong in [json!({}), json!({"role": null}), json!({"role": 1}), json!({"role": "admin"})] {
        assert_eq!(ann.patch(&path, wrong).await.wrong_fields(), ["role"]);
    }
    assert_eq!(
        ann.patch("/api/rooms/x/members/me", json!({})).await.wrong_fields(),
        ["role", "roomId", "userId"]
    );
    app.invariants_hold().await;
}

#[tokio::test]
async fn only_members_of_the_room_can_be_given_roles() {
    let app = TestApp::start().await;
    let (ann, bob, _, room) = room_of_three(&app).await;
    let (eve, zoe) = (app.user("eve").await, app.foreigner("zoe").await);
    ann.appoints(room, &eve, "moderator").await.refused(404, "member_not_found");
    ann.appoints(room, &zoe, "moderator").await.refused(404, "member_not_found");
    ann.appoints(999_999_999, &bob, "moderator").await.refused(404, "room_not_found");
    zoe.appoints(room, &bob, "moderator").await.refused(404, "room_not_found");
}

#[tokio::test]
async fn a_direct_chat_has_no_moderators() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let room = ann.chats_with(&bob).await;
    ann.appoints(room, &bob, "moderator").await.refused(409, "direct_chat");
    bob.appoints(room, &ann, "member").await.refused(409, "direct_chat");
}
