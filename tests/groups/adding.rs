use serde_json::json;

use super::{add, fill};
use crate::harness::{Person, TestApp};

async fn appoint(app: &TestApp, group: u64, person: &Person) {
    let sql = "UPDATE room_members SET role = 'moderator' WHERE room_id = ? AND user_id = ?";
    app.run(sql, (group, &person.user_id)).await;
}

#[tokio::test]
async fn the_owner_can_add_a_user_who_is_notified_and_everybody_receives_the_join() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let group = ann.groups(&[&bob]).await;
    ann.says(group, "early").await.created();
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    let added = add(&ann, group, &eve).await.ok();
    assert_eq!((&added["group"]["memberCount"], &added["group"]["lastSeq"]), (&json!(3), &json!(2)));
    let joined = json!({"roomId": group, "seq": 2, "userId": eve.user_id, "name": eve.user_id, "memberCount": 3,
                        "createdAt": ann.last_message(group).await["createdAt"], "room": added["group"]});
    assert_eq!(eves.receives("addedToGroup").await, added);
    for socket in [&mut anns, &mut bobs, &mut eves] {
        assert_eq!(socket.receives("userJoined").await, joined);
        socket.has_nothing().await;
    }
    assert_eq!(eve.reads(group).await, [(1, "early".to_owned()), (2, "joined".to_owned())]);
    let chat = eve.get("/chats").await.ok()["data"][0].take();
    assert_eq!((&chat["unread"], &chat["room"]), (&json!(0), &added["group"]));
    eve.says(group, "hello").await.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_moderator_of_the_group_can_add_users_and_a_plain_member_cannot() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let group = ann.groups(&[&bob]).await;
    add(&bob, group, &eve).await.refused(403, "room_role_required");
    appoint(&app, group, &bob).await;
    add(&bob, group, &eve).await.ok();
    add(&eve, group, &ann).await.refused(403, "room_role_required");
    app.invariants_hold().await;
}

#[tokio::test]
async fn non_members_cannot_add_users_even_as_an_admin_or_former_owner() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let group = ann.groups(&[&bob]).await;
    app.run("UPDATE users SET role = 'admin' WHERE user_id = ?", (&eve.user_id,)).await;
    add(&eve, group, &eve).await.refused(403, "not_a_member");
    ann.leaves(group).await.no_content();
    add(&ann, group, &ann).await.refused(403, "not_a_member");
    add(&bob, group, &ann).await.ok();
}

#[tokio::test]
async fn adding_an_existing_member_changes_nothing_and_pushes_nothing() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let mut bobs = bob.connect().await;
    for member in [&bob, &ann] {
        let same = add(&ann, group, member).await.ok();
        assert_eq!((&same["group"]["memberCount"], &same["group"]["lastSeq"]), (&json!(2), &json!(0)));
    }
    bobs.has_nothing().await;
    app.invariants_hold().await;
}

#[tokio::test]
async fn rooms_of_other_kinds_and_users_of_other_organizations_are_not_found() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let (group, prime) = (ann.groups(&[]).await, ann.opens_a_room().await);
    let direct = ann.writes_to(&bob, "hello").await.created()["chatId"].as_u64().unwrap();
    let unknown = add(&ann, 999_999_999, &bob).await.refused(404, "room_not_found");
    for room in [prime, direct, zoe.groups(&[]).await] {
        assert_eq!(add(&ann, room, &bob).await.refused(404, "room_not_found"), unknown);
    }
    add(&zoe, group, &zoe).await.refused(404, "room_not_found");
    let foreign = add(&ann, group, &zoe).await.refused(404, "user_not_found");
    let path = format!("/groups/{group}/add-user");
    let nobody = ann.post(&path, json!({"userId": "nobody-of-this-name"})).await;
    assert_eq!(nobody.refused(404, "user_not_found"), foreign);
    assert_eq!(ann.post(&path, json!({})).await.wrong_fields(), ["userId"]);
    assert_eq!(ann.post("/groups/x/add-user", json!({"userId": "bob"})).await.wrong_fields(), ["groupId"]);
    assert_eq!(ann.reads(group).await, [], "a refused request takes no sequence number");
}

#[tokio::test]
async fn nobody_can_be_added_to_a_full_group_until_somebody_leaves() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let group = ann.groups(&[&bob]).await;
    fill(&app, group, &ann, 254).await;
    add(&ann, group, &eve).await.refused(409, "room_full");
    add(&ann, group, &bob).await.ok();
    bob.leaves(group).await.no_content();
    assert_eq!(add(&ann, group, &eve).await.ok()["group"]["memberCount"], 256);
    app.invariants_hold().await;
}

#[tokio::test]
async fn members_can_leave_and_list_each_other_as_in_every_room() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let group = ann.groups(&[&bob]).await;
    add(&ann, group, &eve).await.ok();
    appoint(&app, group, &eve).await;
    ann.leaves(group).await.no_content();
    let members = bob.get(&format!("/api/rooms/{group}/members")).await.ok();
    let roles: Vec<_> =
        members["members"].as_array().unwrap().iter().map(|m| (&m["userId"], &m["role"])).collect();
    assert_eq!(
        roles,
        [(&json!(bob.user_id), &json!("member")), (&json!(eve.user_id), &json!("owner"))],
        "the moderator succeeds the owner"
    );
    ann.get(&format!("/groups/{group}/messages")).await.refused(403, "not_a_member");
    app.invariants_hold().await;
}

/// Lets only friends add the person to groups, or anybody.
async fn addable_by(person: &Person, whom: &str) {
    let profile = person.patch("/api/profile", json!({"addableBy": whom})).await.ok();
    assert_eq!(profile["addableBy"], whom);
}

#[tokio::test]
async fn whoever_lets_only_friends_add_them_is_not_added_by_others() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    assert_eq!(bob.get("/api/profile/me").await.ok()["addableBy"], "anyone");
    let group = ann.groups(&[]).await;
    addable_by(&bob, "friends").await;
    addable_by(&eve, "friends").await;
    let mut bobs = bob.connect().await;

    let refused = add(&ann, group, &bob).await.refused(403, "not_addable");
    let wrong = refused["errors"].as_array().unwrap();
    assert_eq!((wrong.len(), &wrong[0]["field"]), (1, &json!("userId")));
    assert!(wrong[0]["message"].as_str().unwrap().contains(&bob.user_id), "{refused}");
    let hikers = json!({"name": "Hikers", "members": [eve.user_id, ann.user_id, bob.user_id]});
    let refused = ann.post("/groups", hikers.clone()).await.refused(403, "not_addable");
    let wrong = refused["errors"].as_array().unwrap();
    assert_eq!(wrong.len(), 2, "{refused}");
    for (error, person) in wrong.iter().zip([&bob, &eve]) {
        assert_eq!(error["field"], "members");
        assert!(error["message"].as_str().unwrap().contains(&person.user_id), "{refused}");
    }
    let mut anns = ann.connect().await;
    let by_frame = anns.refused("createGroup", hikers.clone(), "not_addable").await;
    assert_eq!(by_frame["errors"], refused["errors"]);
    bobs.has_nothing().await;
    assert_eq!(bob.get("/chats").await.ok()["total"], 0);

    // A request alone makes no friends.
    ann.post("/api/friend-requests", json!({"userId": bob.user_id})).await.created();
    add(&ann, group, &bob).await.refused(403, "not_addable");
    bob.post("/api/friend-requests", json!({"userId": ann.user_id})).await.created();
    add(&ann, group, &bob).await.ok();
    let refused = ann.post("/groups", hikers.clone()).await.refused(403, "not_addable");
    assert_eq!(refused["errors"].as_array().unwrap().len(), 1);
    addable_by(&eve, "anyone").await;
    ann.post("/groups", hikers).await.created();
    // Members stay, and a role in the group does not overrule anybody's choice.
    ann.delete(&format!("/api/friends/{}", bob.user_id)).await.no_content();
    add(&ann, group, &bob).await.ok();
    bob.leaves(group).await.no_content();
    add(&ann, group, &bob).await.refused(403, "not_addable");
    app.invariants_hold().await;
}

#[tokio::test]
async fn nobody_else_sees_who_may_add_a_user() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    addable_by(&ann, "friends").await;
    let seen = bob.get(&format!("/api/profile/{}", ann.user_id)).await.ok();
    assert!(seen.get("addableBy").is_none(), "{seen}");
}

#[tokio::test]
async fn many_who_cannot_be_added_are_named_as_far_as_an_answer_goes() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let group = ann.groups(&[]).await;
    super::extras(&app, group, &ann, 150).await;
    let sql = "UPDATE users SET addable_by = 'friends' WHERE user_id LIKE CONCAT('extra.', ?, '.%')";
    app.run(sql, (group,)).await;
    let members: Vec<_> = (1..=150).map(|number| json!(format!("extra.{group}.{number}"))).collect();
    let refused = ann.post("/groups", json!({"name": "Hikers", "members": members})).await;
    assert_eq!(refused.refused(403, "not_addable")["errors"].as_array().unwrap().len(), 100);
}
