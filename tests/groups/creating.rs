use serde_json::{Value, json};

use super::extras;
use crate::harness::TestApp;

#[tokio::test]
async fn the_creator_of_a_group_owns_it_and_its_members_are_notified() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    let made = ann.post("/groups", json!({"name": "Hikers", "members": [bob.user_id]})).await.created();
    let group = &made["group"];
    let expected = json!({
        "id": group["id"], "kind": "group", "name": "Hikers", "topic": null, "slowModeSeconds": 0, "capacity": 256, "memberCount": 2, "createdBy": ann.user_id,
        "organizationId": 1, "lastSeq": 0, "createdAt": group["createdAt"], "updatedAt": group["createdAt"],
        "avatarUrl": null
    });
    assert_eq!(*group, expected);
    for socket in [&mut anns, &mut bobs] {
        assert_eq!(socket.receives("groupCreated").await, made);
        socket.has_nothing().await;
    }
    eves.has_nothing().await;
    let list = bob.get("/chats").await.ok();
    assert_eq!(list["data"][0]["room"], *group, "the stored group is the one that was returned");
    let id = group["id"].as_u64().unwrap();
    assert_eq!(bob.reads(id).await, [], "the first members do not count as joins");
    let members = bob.get(&format!("/api/rooms/{id}/members")).await.ok();
    let mut roles: Vec<_> = members["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (member["userId"].as_str().unwrap(), member["role"].as_str().unwrap()))
        .collect();
    roles.sort_unstable();
    assert_eq!(roles, [(ann.user_id.as_str(), "owner"), (bob.user_id.as_str(), "member")]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn after_a_frame_the_sending_socket_gets_the_ack_and_all_others_the_push() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let (mut phone, mut laptop, mut bobs) = (ann.connect().await, ann.connect().await, bob.connect().await);
    let ack = phone.acked("createGroup", json!({"name": "Hikers", "members": [bob.user_id]})).await;
    assert_eq!(ack, json!({"roomId": ack["group"]["id"], "group": ack["group"]}));
    phone.has_nothing().await;
    for socket in [&mut laptop, &mut bobs] {
        assert_eq!(socket.receives("groupCreated").await, json!({"group": ack["group"]}));
        socket.has_nothing().await;
    }
    let problem =
        phone.refused("createGroup", json!({"name": "", "members": "bob"}), "invalid_request").await;
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["name", "members"]);
    phone
        .refused("createGroup", json!({"name": "x", "members": ["nobody-of-this-name"]}), "user_not_found")
        .await;
}

#[tokio::test]
async fn repeated_members_and_the_creator_among_them_count_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let members = json!([bob.user_id, ann.user_id, bob.user_id]);
    let made = ann.post("/groups", json!({"name": "Hikers", "members": members})).await.created();
    assert_eq!(made["group"]["memberCount"], 2);
    for alone in [
        json!({"name": "Alone"}),
        json!({"name": "Alone", "members": null}),
        json!({"name": "Alone", "members": []}),
    ] {
        assert_eq!(ann.post("/groups", alone).await.created()["group"]["memberCount"], 1);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_unknown_or_foreign_member_is_not_found_and_no_group_is_created() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.user("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let mut bobs = bob.connect().await;
    let with = async |member: &str| {
        ann.post("/groups", json!({"name": "Hikers", "members": [bob.user_id, member]})).await
    };
    let foreign = with(&zoe.user_id).await.refused(404, "user_not_found");
    assert_eq!(with("nobody-of-this-name").await.refused(404, "user_not_found"), foreign);
    for person in [&ann, &bob, &zoe] {
        assert_eq!(person.get("/chats").await.ok()["total"], 0);
    }
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_group_holds_its_creator_and_255_others() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let first = ann.groups(&[]).await;
    extras(&app, first, &ann, 256).await;
    let ids =
        |count: u32| -> Vec<Value> { (1..=count).map(|n| json!(format!("extra.{first}.{n}"))).collect() };
    let with = async |mut members: Vec<Value>, oneself: bool| {
        members.extend(oneself.then(|| json!(ann.user_id)));
        ann.post("/groups", json!({"name": "Crowd", "members": members})).await
    };
    assert_eq!(with(ids(255), false).await.created()["group"]["memberCount"], 256);
    assert_eq!(with(ids(255), true).await.created()["group"]["memberCount"], 256);
    assert_eq!(with(ids(256), false).await.wrong_fields(), ["members"]);
    assert_eq!(with(ids(256), true).await.wrong_fields(), ["members"]);
}

#[tokio::test]
async fn all_invalid_fields_of_a_group_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let wrong = async |group: Value| ann.post("/groups", group).await.wrong_fields().join(" ");
    assert_eq!(wrong(json!({})).await, "name");
    for (name, members) in [
        (json!(" "), json!(["!"])),
        (json!("x".repeat(101)), json!({})),
        (json!("a\nb"), json!([null])),
        (json!(7), json!([["bob"]])),
    ] {
        assert_eq!(wrong(json!({"name": name, "members": members})).await, "members name");
    }
    app.post("/groups", json!({"name": "x"})).await.refused(401, "unauthenticated");
}
