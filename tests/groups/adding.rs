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
    let joined = json!({"roomId": group, "seq": 2, "userId": eve.user_id, "name": eve.user_id});
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
