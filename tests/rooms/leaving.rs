use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// The members' ids and roles.
async fn roles(asker: &Person, room: u64) -> Vec<(String, String)> {
    let list = asker.get(&format!("/api/rooms/{room}/members")).await.ok();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (text(&member["userId"]), text(&member["role"])))
        .collect()
}

#[tokio::test]
async fn a_user_who_left_has_no_access_and_the_members_are_notified() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut anns = ann.connect().await;
    bob.leaves(room).await.no_content();
    let left = anns.receives("userLeft").await;
    assert_eq!(
        left,
        json!({"roomId": room, "seq": 2, "userId": bob.user_id, "name": bob.user_id, "removed": false,
               "memberCount": 1, "createdAt": ann.last_message(room).await["createdAt"]})
    );
    anns.has_nothing().await;
    bob.says(room, "still here?").await.refused(403, "not_a_member");
    bob.get(&format!("/chats/{room}")).await.refused(403, "not_a_member");
    bob.get(&format!("/api/rooms/{room}/members")).await.refused(403, "not_a_member");
    bob.leaves(room).await.refused(403, "not_a_member");
    bob.joins(room).await.created();
    let all = [(1, "joined".to_owned()), (2, "left".to_owned()), (3, "joined".to_owned())];
    assert_eq!(bob.reads(room).await, all, "after joining again, the whole history");
}

#[tokio::test]
async fn the_other_sockets_of_a_leaving_user_are_notified() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let (mut phone, mut laptop) = (bob.connect().await, bob.connect().await);
    assert_eq!(phone.acked("leaveRoom", json!({"roomId": room})).await, json!({"roomId": room, "seq": 2}));
    phone.has_nothing().await;
    assert_eq!(laptop.receives("userLeft").await["userId"], bob.user_id);
}

#[tokio::test]
async fn the_oldest_moderator_or_else_the_oldest_member_succeeds_a_leaving_owner() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut guests = Vec::new();
    // The order of their ids is not that of their joins.
    for name in ["zed", "bob", "yan", "cid"] {
        let guest = app.user(name).await;
        guest.joins(room).await.created();
        guests.push(guest);
    }
    let [zed, bob, yan, cid] = &guests[..] else { unreachable!() };
    app.run(
        "UPDATE room_members SET role = 'moderator' WHERE user_id IN (?, ?)",
        (&yan.user_id, &cid.user_id),
    )
    .await;
    let owner = async |asker: &Person| {
        roles(asker, room).await.into_iter().find(|(_, role)| role == "owner").unwrap().0
    };
    for (leaver, heir) in [(&ann, yan), (yan, cid), (cid, zed), (zed, bob)] {
        leaver.leaves(room).await.no_content();
        assert_eq!(owner(bob).await, heir.user_id);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_first_to_join_an_empty_room_owns_it() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    ann.leaves(room).await.no_content();
    bob.joins(room).await.created();
    ann.joins(room).await.created();
    let expected = [(&bob.user_id, "owner"), (&ann.user_id, "member")];
    assert_eq!(roles(&ann, room).await, expected.map(|(user, role)| (user.clone(), role.to_owned())));
}

#[tokio::test]
async fn a_direct_chat_cannot_be_left() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let chat = ann.chats_with(&bob).await;
    for person in [&ann, &bob] {
        person.leaves(chat).await.refused(409, "direct_chat");
    }
    assert_eq!(ann.roles(chat).await.len(), 2);
}

#[tokio::test]
async fn leaving_a_room_of_another_organization_is_404() {
    let app = TestApp::start().await;
    let (ann, zoe) = (app.prime("ann").await, app.foreigner("zoe").await);
    let room = zoe.opens_a_room().await;
    ann.leaves(room).await.refused(404, "room_not_found");
    ann.leaves(999_999_999).await.refused(404, "room_not_found");
    assert_eq!(ann.post("/api/rooms/x/leave", json!({})).await.wrong_fields(), ["roomId"]);
}
