use serde_json::json;

use crate::harness::{Person, TestApp};

/// A room that Ann owns, with the moderators Mia and Mo and the plain members Bob and Cid.
async fn room_of_five(app: &TestApp) -> ([Person; 5], u64) {
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut people = vec![ann];
    for name in ["mia", "mo", "bob", "cid"] {
        let person = app.user(name).await;
        person.joins(room).await.created();
        people.push(person);
    }
    for moderator in [1, 2] {
        people[0].appoints(room, &people[moderator], "moderator").await.ok();
    }
    (people.try_into().unwrap_or_else(|_| unreachable!()), room)
}

/// The same five in a channel that Ann owns. She has no role in the organization any more.
async fn channel_of_five(app: &TestApp) -> ([Person; 5], u64) {
    let ann = app.foreigner("ann").await;
    let channel = ann.makes_a_channel("General").await;
    app.set_role(&ann, "user").await;
    let mut people = vec![ann];
    for name in ["mia", "mo", "bob", "cid"] {
        let person = app.foreigner(name).await;
        person.joins(channel).await.created();
        people.push(person);
    }
    for moderator in [1, 2] {
        people[0].appoints(channel, &people[moderator], "moderator").await.ok();
    }
    (people.try_into().unwrap_or_else(|_| unreachable!()), channel)
}

#[tokio::test]
async fn the_removed_member_and_the_other_members_are_notified() {
    let app = TestApp::start().await;
    let ([ann, _, _, bob, cid], room) = room_of_five(&app).await;
    let (mut anns, mut bobs, mut cids) = (ann.connect().await, bob.connect().await, cid.connect().await);
    ann.removes(room, &bob).await.no_content();
    assert_eq!(bobs.receives("removedFromRoom").await, json!({"roomId": room}));
    bobs.has_nothing().await;
    let created_at = ann.last_message(room).await["createdAt"].take();
    for socket in [&mut anns, &mut cids] {
        assert_eq!(
            socket.receives("userLeft").await,
            json!({"roomId": room, "seq": 5, "userId": bob.user_id, "name": bob.user_id, "removed": true,
                   "memberCount": 4, "createdAt": created_at})
        );
        socket.has_nothing().await;
    }
    let history = ann.get(&format!("/chats/{room}?after=4")).await.ok();
    let removal = &history["messages"][0];
    assert_eq!(
        (&removal["seq"], &removal["kind"], &removal["content"], &removal["userId"]),
        (&json!(5), &json!("system"), &json!("removed"), &json!(bob.user_id))
    );
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_removed_user_has_no_access_until_they_join_again() {
    let app = TestApp::start().await;
    let ([ann, _, _, bob, cid], room) = room_of_five(&app).await;
    let mut bobs = bob.connect().await;
    ann.removes(room, &bob).await.no_content();
    bobs.receives("removedFromRoom").await;
    bobs.refused("sendMessage", json!({"roomId": room, "content": "but"}), "not_a_member").await;
    bobs.refused("leaveRoom", json!({"roomId": room}), "not_a_member").await;
    bobs.refused("joinRoom", json!({"roomId": room}), "wrong_room_password").await;
    bob.says(room, "but").await.refused(403, "not_a_member");
    bob.get(&format!("/chats/{room}")).await.refused(403, "not_a_member");
    bob.removes(room, &cid).await.refused(403, "not_a_member");
    let synced = bob.post("/api/sync", json!({"rooms": {room.to_string(): 0}})).await.ok();
    assert_eq!(synced["rooms"][room.to_string()], json!({"gone": true}));
    ann.says(room, "now that we are alone").await.created();
    bobs.has_nothing().await;
    bob.joins(room).await.created();
    assert_eq!(bob.reads(room).await.len(), 7, "after joining again, the whole history");
}

#[tokio::test]
async fn owners_can_remove_anybody_and_moderators_only_plain_members() {
    let app = TestApp::start().await;
    let ([ann, mia, mo, bob, cid], room) = room_of_five(&app).await;
    for (remover, member) in [(&bob, &cid), (&bob, &mia), (&bob, &ann), (&mia, &mo), (&mia, &ann)] {
        remover.removes(room, member).await.refused(403, "room_role_required");
    }
    mia.removes(room, &bob).await.no_content();
    ann.removes(room, &mo).await.no_content();
    ann.removes(room, &cid).await.no_content();
    let left: Vec<_> = ann.roles(room).await.into_iter().map(|(user, _)| user).collect();
    assert_eq!(left, [&ann.user_id, &mia.user_id].map(Clone::clone));
    app.invariants_hold().await;
}

#[tokio::test]
async fn admins_cannot_remove_members_of_password_rooms_and_groups() {
    let app = TestApp::start().await;
    let ([ann, mia, mo, bob, cid], prime) = room_of_five(&app).await;
    let group = ann.groups(&[&mia, &mo, &bob, &cid]).await;
    for moderator in [&mia, &mo] {
        ann.appoints(group, moderator, "moderator").await.ok();
    }
    let admin = app.user("admin").await;
    app.run("UPDATE users SET role = 'admin' WHERE user_id IN (?, ?)", (&admin.user_id, &cid.user_id)).await;
    for room in [prime, group] {
        admin.removes(room, &bob).await.refused(403, "not_a_member");
        cid.removes(room, &bob).await.refused(403, "room_role_required");
        mia.removes(room, &mo).await.refused(403, "room_role_required");
        mo.removes(room, &bob).await.no_content();
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_organizations_admins_can_remove_anybody_from_a_channel() {
    let app = TestApp::start().await;
    let ([ann, mia, mo, bob, cid], room) = channel_of_five(&app).await;
    let (admin, helper) = (app.foreigner("admin").await, app.foreigner("helper").await);
    let zoe = app.prime("zoe").await;
    for (role, person) in [("admin", &admin), ("admin", &cid), ("moderator", &helper), ("admin", &zoe)] {
        app.set_role(person, role).await;
    }
    helper.removes(room, &bob).await.refused(403, "not_a_member");
    zoe.removes(room, &bob).await.refused(404, "room_not_found");
    admin.removes(room, &helper).await.refused(404, "member_not_found");
    // An admin who is not in the channel removes the owner, and the oldest moderator succeeds her.
    admin.removes(room, &ann).await.no_content();
    assert_eq!(mia.roles(room).await[0], (mia.user_id.clone(), "owner".to_owned()));
    // An admin who is a plain member of it removes others.
    cid.removes(room, &mo).await.no_content();
    cid.removes(room, &mia).await.no_content();
    assert_eq!(cid.roles(room).await[0], (bob.user_id.clone(), "owner".to_owned()));
    // The owner has the same rights as in every room.
    bob.removes(room, &cid).await.no_content();
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_demoted_admin_cannot_remove_anybody() {
    let app = TestApp::start().await;
    let ([_, _, _, bob, _], room) = channel_of_five(&app).await;
    let admin = app.foreigner("admin").await;
    app.set_role(&admin, "admin").await;
    admin.get(&format!("/api/profile/{}", admin.user_id)).await.ok();
    app.set_role(&admin, "user").await;
    admin.removes(room, &bob).await.refused(403, "not_a_member");
}

#[tokio::test]
async fn nobody_can_remove_themselves_or_a_non_member() {
    let app = TestApp::start().await;
    let ([ann, mia, _, bob, _], room) = room_of_five(&app).await;
    let (eve, zoe) = (app.user("eve").await, app.foreigner("zoe").await);
    for person in [&ann, &mia, &bob] {
        assert_eq!(person.removes(room, person).await.wrong_fields(), ["userId"]);
    }
    for nobody in [&eve, &zoe] {
        ann.removes(room, nobody).await.refused(404, "member_not_found");
        mia.removes(room, nobody).await.refused(404, "member_not_found");
        bob.removes(room, nobody).await.refused(403, "room_role_required");
    }
    eve.removes(room, &bob).await.refused(403, "not_a_member");
    zoe.removes(room, &bob).await.refused(404, "room_not_found");
    ann.removes(999_999_999, &bob).await.refused(404, "room_not_found");
    assert_eq!(ann.delete("/api/rooms/x/members/me").await.wrong_fields(), ["roomId", "userId"]);
    assert_eq!(ann.roles(room).await.len(), 5);
    assert_eq!(ann.reads(room).await.len(), 4, "a refused request takes no sequence number");
}

#[tokio::test]
async fn nobody_can_be_removed_from_a_direct_chat() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let room = ann.chats_with(&bob).await;
    ann.removes(room, &bob).await.refused(409, "direct_chat");
    bob.removes(room, &ann).await.refused(409, "direct_chat");
    eve.removes(room, &ann).await.refused(403, "not_a_member");
}

#[tokio::test]
async fn six_concurrent_removals_remove_a_member_once() {
    let app = TestApp::start().await;
    let ([ann, mia, mo, bob, _], room) = room_of_five(&app).await;
    let removers = [&ann, &mia, &mo, &ann, &mia, &mo];
    let answers =
        futures_util::future::join_all(removers.iter().map(|remover| remover.removes(room, &bob))).await;
    let mut removed = 0;
    for answer in answers {
        match answer.status {
            204 => removed += 1,
            _ => _ = answer.refused(404, "member_not_found"),
        }
    }
    assert_eq!((removed, ann.reads(room).await.len()), (1, 5));
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_removal_that_races_with_a_demotion_and_a_leave_keeps_the_room_consistent() {
    let app = TestApp::start().await;
    let ([ann, mia, mo, bob, _], room) = room_of_five(&app).await;
    for _ in 0..10 {
        let (demoted, removed, left) =
            tokio::join!(ann.appoints(room, &mia, "member"), mia.removes(room, &bob), mo.leaves(room));
        demoted.ok();
        assert!(removed.status == 204 || removed.json["code"] == "room_role_required", "{}", removed.json);
        left.no_content();
        if removed.status == 204 {
            bob.joins(room).await.created();
        }
        mo.joins(room).await.created();
        ann.appoints(room, &mia, "moderator").await.ok();
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn joining_again_without_the_password_during_a_removal_ends_outside_the_room() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    for _ in 0..15 {
        bob.joins(room).await.created();
        let without_password = bob.post("/api/joinroom", json!({"roomId": room}));
        let (removed, joined) = tokio::join!(ann.removes(room, &bob), without_password);
        removed.no_content();
        assert!(joined.status == 200 || joined.json["code"] == "wrong_room_password", "{}", joined.json);
        assert_eq!(ann.roles(room).await.len(), 1);
    }
    app.invariants_hold().await;
}
