use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Answer, Person, TestApp};

async fn deletes(person: &Person, room: u64) -> Answer {
    person.delete(&format!("/api/rooms/{room}")).await
}

#[tokio::test]
async fn a_deleted_room_is_gone_with_everything_in_it_and_its_members_are_notified() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    bob.says(room, "hello").await.created();
    ann.invites(room, &eve).await.created();
    let (mut anns, mut bobs, mut eves) = (ann.connect().await, bob.connect().await, eve.connect().await);
    deletes(&ann, room).await.no_content();
    for socket in [&mut anns, &mut bobs] {
        assert_eq!(socket.receives("roomDeleted").await, json!({"roomId": room}));
        socket.has_nothing().await;
    }
    eves.has_nothing().await;
    bobs.refused("sendMessage", json!({"roomId": room, "content": "still there?"}), "room_not_found").await;
    bobs.refused("joinRoom", json!({"roomId": room, "password": "open sesame"}), "room_not_found").await;
    bob.joins(room).await.refused(404, "room_not_found");
    bob.leaves(room).await.refused(404, "room_not_found");
    bob.get(&format!("/chats/{room}")).await.refused(404, "room_not_found");
    ann.get(&format!("/api/rooms/{room}/members")).await.refused(404, "room_not_found");
    ann.removes(room, &bob).await.refused(404, "room_not_found");
    let synced = bob.post("/api/sync", json!({"rooms": {room.to_string(): 1}})).await.ok();
    assert_eq!(synced["rooms"][room.to_string()], json!({"gone": true}));
    for table in [
        "rooms WHERE id",
        "room_members WHERE room_id",
        "messages WHERE room_id",
        "invitations WHERE room_id",
    ] {
        let rows: Vec<u64> = app.rows(&format!("SELECT COUNT(*) FROM {table} = {room}")).await;
        assert_eq!(rows, [0], "{table}");
    }
}

#[tokio::test]
async fn a_deletion_refunds_no_coins_and_the_free_room_stays_used() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 300).await);
    let (free, paid) = (ann.opens_a_room().await, ann.opens_a_room().await);
    bob.joins(free).await.created();
    bob.joins(paid).await.created();
    deletes(&ann, free).await.no_content();
    deletes(&ann, paid).await.no_content();
    assert_eq!(bob.coins().await, 150);
    assert_eq!(bob.joins(ann.opens_a_room().await).await.created()["charged"], 150);
    app.invariants_hold().await;
}

#[tokio::test]
async fn only_the_owner_can_delete_a_password_room_or_a_group() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.user("eve").await);
    let zoe = app.foreigner("zoe").await;
    app.run("UPDATE users SET role = 'admin' WHERE user_id IN (?, ?)", (&eve.user_id, &bob.user_id)).await;
    let (prime, group) = (ann.opens_a_room().await, ann.groups(&[&bob]).await);
    bob.joins(prime).await.created();
    for room in [prime, group] {
        deletes(&bob, room).await.refused(403, "room_role_required");
        ann.appoints(room, &bob, "moderator").await.ok();
        deletes(&bob, room).await.refused(403, "room_role_required");
        deletes(&eve, room).await.refused(403, "not_a_member");
        deletes(&zoe, room).await.refused(404, "room_not_found");
        assert_eq!(ann.roles(room).await.len(), 2);
        // The owner's successor can delete the room, and its creator no longer can.
        ann.leaves(room).await.no_content();
        deletes(&ann, room).await.refused(403, "not_a_member");
        deletes(&bob, room).await.no_content();
    }
    deletes(&ann, 999_999_999).await.refused(404, "room_not_found");
    assert_eq!(deletes(&ann, 0).await.status, 404);
    assert_eq!(ann.delete("/api/rooms/x").await.wrong_fields(), ["roomId"]);
}

#[tokio::test]
async fn channels_and_direct_chats_cannot_be_deleted_by_this_route() {
    let app = TestApp::start().await;
    let (ann, bob, eve) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("eve").await);
    let (channel, direct) = (ann.makes_a_channel("General").await, ann.chats_with(&bob).await);
    app.set_role(&eve, "admin").await;
    deletes(&ann, channel).await.refused(403, "room_role_required");
    deletes(&eve, channel).await.refused(403, "not_a_member");
    deletes(&ann, direct).await.refused(409, "direct_chat");
    deletes(&bob, direct).await.refused(409, "direct_chat");
    deletes(&eve, direct).await.refused(403, "not_a_member");
    assert_eq!((ann.roles(channel).await.len(), ann.roles(direct).await.len()), (1, 2));
}

#[tokio::test]
async fn eight_concurrent_deletions_delete_a_room_once() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    let answers = join_all((0..8).map(|_| deletes(&ann, room))).await;
    let mut deleted = 0;
    for answer in answers {
        match answer.status {
            204 => deleted += 1,
            _ => _ = answer.refused(404, "room_not_found"),
        }
    }
    assert_eq!(deleted, 1);
    socket.receives("roomDeleted").await;
    socket.has_nothing().await;
}

#[tokio::test]
async fn a_deletion_that_races_with_joins_sends_and_leaves_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let names: Vec<_> = (0..6).map(|number| format!("guest{number}")).collect();
    let guests: Vec<Person> = join_all(names.iter().map(|name| app.rich(name, 1000))).await;
    for _ in 0..4 {
        let room = ann.opens_a_room().await;
        guests[0].joins(room).await.created();
        let acts = join_all(guests.iter().enumerate().map(|(number, guest)| async move {
            match number {
                0 => guest.leaves(room).await,
                1 => guest.says(room, "me too").await,
                _ => guest.joins(room).await,
            }
        }));
        let sends = join_all((0..4).map(|_| ann.says(room, "hello")));
        let invites = join_all((0..4).map(|_| ann.invites(room, &eve)));
        let (deleted, acts, sends, invites) = tokio::join!(deletes(&ann, room), acts, sends, invites);
        deleted.no_content();
        for answer in acts.iter().chain(&sends).chain(&invites) {
            assert!(answer.status < 500, "{}", answer.json);
        }
        for table in ["room_members", "messages", "invitations"] {
            let rows: Vec<u64> =
                app.rows(&format!("SELECT COUNT(*) FROM {table} WHERE room_id = {room}")).await;
            assert_eq!(rows, [0], "{table}");
        }
    }
    app.invariants_hold().await;
}
