use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

impl Person {
    /// Changes the settings of a room.
    pub async fn changes(&self, room: u64, settings: Value) -> Answer {
        self.patch(&format!("/api/rooms/{room}"), settings).await
    }

    async fn passes(&self, room: u64, to: &Self) -> Answer {
        self.post(&format!("/api/rooms/{room}/owner"), json!({"userId": to.user_id})).await
    }
}

#[tokio::test]
async fn the_owner_and_moderators_change_a_room_and_its_members_are_told() {
    let app = TestApp::start().await;
    let (ann, bob, cid) = (app.prime("ann").await, app.user("bob").await, app.user("cid").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    cid.joins(room).await.created();
    ann.appoints(room, &bob, "moderator").await.ok();
    let mut cids = cid.connect().await;
    for (number, (person, change, seen)) in [
        (&ann, json!({"name": "Coffee"}), json!(["Coffee", null, 0])),
        (&bob, json!({"topic": "Beans", "slowModeSeconds": "30"}), json!(["Coffee", "Beans", 30])),
        (&ann, json!({"name": null, "topic": "", "slowModeSeconds": 0}), json!(["Coffee", null, 0])),
    ]
    .into_iter()
    .enumerate()
    {
        let changed = person.changes(room, change).await.ok()["room"].take();
        assert_eq!(json!([changed["name"], changed["topic"], changed["slowModeSeconds"]]), seen);
        let push = cids.receives("roomUpdated").await;
        let seq = 3 + number;
        assert_eq!(
            push,
            json!({"roomId": room, "seq": seq, "userId": person.user_id, "name": person.user_id, "room": changed,
                   "createdAt": changed["updatedAt"]})
        );
        let chat = cid.get("/chats").await.ok()["data"][0].take();
        assert_eq!((&chat["room"], &chat["lastSeq"]), (&changed, &json!(seq)));
        let said = &chat["lastMessage"];
        assert_eq!(
            (&said["kind"], &said["content"], &said["userId"], &said["createdAt"], &chat["unread"]),
            (&json!("system"), &json!("updated"), &json!(person.user_id), &push["createdAt"], &json!(0))
        );
    }
    for unchanged in [json!({}), json!({"name": "Coffee", "topic": "", "slowModeSeconds": 0})] {
        assert_eq!(ann.changes(room, unchanged).await.ok()["room"]["lastSeq"], 5);
    }
    cids.has_nothing().await;
    cid.changes(room, json!({"name": "Mine"})).await.refused(403, "room_role_required");
    app.user("eve").await.changes(room, json!({"name": "Mine"})).await.refused(403, "not_a_member");
    app.foreigner("zoe").await.changes(room, json!({"name": "Mine"})).await.refused(404, "room_not_found");
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_channel_is_changed_by_those_who_make_channels_and_a_direct_chat_by_nobody() {
    let app = TestApp::start().await;
    let (ann, bob, eve) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("eve").await);
    // On a shared server the organization has an admin already.
    for (person, role) in [(&ann, "admin"), (&bob, "moderator")] {
        app.set_role(person, role).await;
    }
    let channel = bob.makes_a_channel("General").await;
    eve.post("/api/joinroom", json!({"roomId": channel})).await.created();
    bob.appoints(channel, &eve, "moderator").await.ok();
    eve.changes(channel, json!({"name": "Mine"})).await.refused(403, "role_required");
    // Ann is no member.
    for (person, name) in [(&ann, "Announcements"), (&bob, "News")] {
        let changed = person.changes(channel, json!({"name": name})).await.ok();
        assert_eq!(changed["room"]["name"], name);
    }
    let contents: Vec<_> = eve.reads(channel).await.into_iter().map(|(_, content)| content).collect();
    assert_eq!(contents, ["joined", "updated", "updated"]);
    app.set_role(&bob, "user").await;
    bob.changes(channel, json!({"name": "Mine"})).await.refused(403, "role_required");

    let chat = ann.chats_with(&bob).await;
    ann.changes(chat, json!({"topic": "Us"})).await.refused(409, "direct_chat");
    eve.changes(chat, json!({"topic": "Us"})).await.refused(403, "not_a_member");
}

#[tokio::test]
async fn the_owner_passes_the_ownership_to_a_member_and_becomes_a_moderator() {
    let app = TestApp::start().await;
    let (ann, bob, cid) = (app.prime("ann").await, app.user("bob").await, app.user("cid").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    cid.joins(room).await.created();
    let (mut anns, mut bobs, mut cids) = (ann.connect().await, bob.connect().await, cid.connect().await);
    let passed = ann.passes(room, &bob).await.ok();
    assert_eq!(
        (&passed["member"]["userId"], &passed["member"]["role"]),
        (&json!(bob.user_id), &json!("owner"))
    );
    let said = ann.last_message(room).await;
    assert_eq!(
        (&said["seq"], &said["kind"], &said["content"], &said["userId"]),
        (&json!(3), &json!("system"), &json!("ownerChanged"), &json!(bob.user_id))
    );
    for socket in [&mut anns, &mut bobs, &mut cids] {
        assert_eq!(
            socket.receives("ownerChanged").await,
            json!({"roomId": room, "seq": 3, "userId": bob.user_id, "name": bob.user_id,
                   "previousUserId": ann.user_id, "createdAt": said["createdAt"]})
        );
        socket.has_nothing().await;
    }
    let roles: Vec<_> = ann.roles(room).await.into_iter().map(|(_, role)| role).collect();
    assert_eq!(roles, ["moderator", "owner", "member"]);
    app.invariants_hold().await;

    for (person, to) in [(&ann, &ann), (&ann, &cid), (&cid, &bob)] {
        person.passes(room, to).await.refused(403, "room_role_required");
    }
    assert_eq!(bob.passes(room, &bob).await.wrong_fields(), ["userId"]);
    let eve = app.user("eve").await;
    bob.passes(room, &eve).await.refused(404, "member_not_found");
    eve.passes(room, &eve).await.refused(403, "not_a_member");
    bob.passes(999_999_999, &ann).await.refused(404, "room_not_found");
    bob.passes(room, &ann).await.ok();
    let chat = ann.chats_with(&bob).await;
    ann.passes(chat, &bob).await.refused(409, "direct_chat");
    app.invariants_hold().await;
}

#[tokio::test]
async fn one_of_two_concurrent_passings_succeeds() {
    let app = TestApp::start().await;
    let (ann, bob, cid) = (app.user("ann").await, app.user("bob").await, app.user("cid").await);
    let group = ann.groups(&[&bob, &cid]).await;
    let (to_bob, to_cid) = tokio::join!(ann.passes(group, &bob), ann.passes(group, &cid));
    let mut statuses = [to_bob.status, to_cid.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
    app.invariants_hold().await;
}
