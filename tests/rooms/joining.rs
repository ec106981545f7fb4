use serde_json::json;

use crate::harness::{Person, ROOM_PASSWORD, TestApp};

#[tokio::test]
async fn a_user_can_join_with_the_password_and_the_members_are_notified_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    let mut anns = ann.connect().await;
    let joined = bob.joins(room).await.created();
    assert_eq!(
        (&joined["charged"], &joined["availCoins"], &joined["alreadyMember"], &joined["room"]["memberCount"]),
        (&json!(0), &json!(0), &json!(false), &json!(2))
    );
    assert_eq!(
        anns.receives("userJoined").await,
        json!({"roomId": room, "seq": 1, "userId": bob.user_id, "name": bob.user_id, "memberCount": 2,
               "createdAt": ann.last_message(room).await["createdAt"], "room": joined["room"]})
    );
    anns.has_nothing().await;
    assert_eq!(ann.reads(room).await, [(1, "joined".to_owned())]);
}

#[tokio::test]
async fn joining_again_changes_nothing_and_needs_no_password() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 500).await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let again = bob.post("/api/joinroom", json!({"roomId": room})).await.ok();
    assert_eq!(
        (&again["alreadyMember"], &again["charged"], &again["availCoins"]),
        (&json!(true), &json!(0), &json!(500))
    );
    assert_eq!(ann.reads(room).await.len(), 1);
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_refused_even_if_the_room_is_full() {
    let app = TestApp::start().await;
    let (ann, mallory) = (app.prime("ann").await, app.user("mallory").await);
    let room = ann.opens_a_room().await;
    let wrong = [
        json!({"roomId": room, "password": "open sesame!"}),
        json!({"roomId": room}),
        json!({"roomId": room, "password": ""}),
    ];
    for entry in &wrong {
        mallory.post("/api/joinroom", entry.clone()).await.refused(403, "wrong_room_password");
    }
    for guest in 0..5 {
        app.user(&format!("guest{guest}")).await.joins(room).await.created();
    }
    for entry in wrong {
        mallory.post("/api/joinroom", entry).await.refused(403, "wrong_room_password");
    }
}

#[tokio::test]
async fn a_seventh_member_is_refused_even_with_the_right_password_and_is_not_charged() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let (small, full) = (ann.opens_a_room().await, ann.opens_a_room().await);
    for guest in 0..5 {
        app.user(&format!("guest{guest}")).await.joins(full).await.created();
    }
    let bob = app.rich("bob", 150).await;
    bob.joins(small).await.created();
    bob.joins(full).await.refused(409, "room_full");
    assert_eq!(bob.coins().await, 150);
    // Seats are checked before coins.
    let poor = app.user("poor").await;
    poor.joins(small).await.created();
    poor.joins(full).await.refused(409, "room_full");
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_first_room_is_free_and_every_further_one_costs_150_coins() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 300).await);
    let (mut charged, mut rooms) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let room = ann.opens_a_room().await;
        rooms.push(room);
        let joined = bob.joins(room).await.created();
        charged.push((joined["charged"].as_i64().unwrap(), joined["availCoins"].as_i64().unwrap()));
    }
    assert_eq!(charged, [(0, 300), (150, 150), (150, 0)]);
    let problem = bob.joins(ann.opens_a_room().await).await.refused(402, "insufficient_coins");
    assert_eq!((&problem["required"], &problem["available"]), (&json!(150), &json!(0)));
    let ledger: Vec<(i64, i64, Option<u64>)> = app
        .rows(&format!(
            "SELECT delta, balance_after, room_id FROM coin_ledger WHERE user_id = '{}' ORDER BY id",
            bob.user_id
        ))
        .await;
    assert_eq!(ledger, [(300, 300, None), (-150, 150, Some(rooms[1])), (-150, 0, Some(rooms[2]))]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn prime_users_join_free() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    for _ in 0..3 {
        assert_eq!(eve.joins(ann.opens_a_room().await).await.created()["charged"], 0);
    }
}

#[tokio::test]
async fn returning_to_the_free_room_or_a_paid_one_costs_nothing() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 150).await);
    let (free, paid, other) = (ann.opens_a_room().await, ann.opens_a_room().await, ann.opens_a_room().await);
    for (room, charge) in [(free, 0), (paid, 150)] {
        assert_eq!(bob.joins(room).await.created()["charged"], charge);
        bob.leaves(room).await.no_content();
        assert_eq!(bob.joins(room).await.created()["charged"], 0);
    }
    // Leaving the free room does not make another one free.
    bob.leaves(free).await.no_content();
    bob.joins(other).await.refused(402, "insufficient_coins");
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_join_that_costs_too_much_changes_nothing() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.rich("bob", 149).await);
    bob.joins(ann.opens_a_room().await).await.created();
    let room = ann.opens_a_room().await;
    bob.joins(room).await.refused(402, "insufficient_coins");
    assert_eq!(bob.coins().await, 149);
    bob.says(room, "let me in").await.refused(403, "not_a_member");
    assert_eq!(ann.reads(room).await, []);
}

#[tokio::test]
async fn unknown_and_foreign_rooms_groups_and_direct_chats_are_not_found() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let foreign = app.foreigner("zoe").await.opens_a_room().await;
    let (group, direct) = (ann.groups(&[&eve]).await, ann.chats_with(&eve).await);
    let unknown = bob.joins(999_999_999).await.refused(404, "room_not_found");
    for room in [foreign, group, direct] {
        assert_eq!(bob.joins(room).await.refused(404, "room_not_found"), unknown);
    }
}

#[tokio::test]
async fn anybody_in_the_organization_can_join_a_channel_free() {
    let app = TestApp::start().await;
    let (ann, zoe) = (app.foreigner("ann").await, app.user("zoe").await);
    // Bob is not prime, has no coins and has used his free room.
    let bob = app.register(json!({"userId": "bob", "organizationName": "Acme"})).await;
    bob.joins(ann.opens_a_room().await).await.created();
    let channel = ann.makes_a_channel("General").await;
    let joined = bob.post("/api/joinroom", json!({"roomId": channel.to_string()})).await.created();
    assert_eq!(joined["charged"], 0);
    zoe.post("/api/joinroom", json!({"roomId": channel})).await.refused(404, "room_not_found");
}

#[tokio::test]
async fn a_user_id_is_accepted_only_if_it_is_the_users_own() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    let entry = |user_id: &str| json!({"roomId": room, "password": ROOM_PASSWORD, "userId": user_id});
    bob.post("/api/joinroom", entry(&ann.user_id)).await.refused(403, "identity_mismatch");
    bob.post("/api/joinroom", entry(&bob.user_id)).await.created();
}

#[tokio::test]
async fn a_room_id_is_required_and_must_be_a_number() {
    let app = TestApp::start().await;
    let ann: Person = app.prime("ann").await;
    for entry in [
        json!({}),
        json!({"roomId": "one"}),
        json!({"roomId": -1}),
        json!({"roomId": 1.5}),
        json!({"roomId": null}),
    ] {
        assert_eq!(ann.post("/api/joinroom", entry.clone()).await.wrong_fields(), ["roomId"], "{entry}");
    }
    assert_eq!(
        ann.post("/api/joinroom", json!({"roomId": [], "password": 7})).await.wrong_fields(),
        ["password", "roomId"]
    );
}
