use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, TestApp};

#[tokio::test]
async fn others_see_only_the_public_fields() {
    let app = TestApp::start().await;
    app.register(json!({"userId": "ann", "name": "Ann", "email": "ann@example.com", "phone": "+4912345", "availCoins": 7}))
        .await;
    let bob = app.user("bob").await;
    assert_eq!(
        bob.get("/api/profile/ann").await.ok(),
        json!({
            "userId": "ann", "username": null, "name": "Ann", "role": "user", "prime": false, "online": false,
            "friendship": "none", "lastSeenAt": null, "avatarUrl": null
        })
    );
}

#[tokio::test]
async fn a_user_with_an_open_socket_is_online() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let ann_path = format!("/api/profile/{}", ann.user_id);
    let socket = ann.connect().await;
    assert_eq!(bob.get(&ann_path).await.ok()["online"], true);
    socket.close().await;
    // `$disconnect` is an event of its own and may take a moment.
    let offline = async {
        while bob.get(&ann_path).await.ok()["online"] == true {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), offline).await.expect("Ann does not go offline");
}

#[tokio::test]
async fn an_unknown_user_and_one_of_another_organization_get_the_same_404() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let zoe = app.foreigner("zoe").await;
    let unknown = ann.get("/api/profile/nobody").await.refused(404, "user_not_found");
    let foreign = ann.get(&format!("/api/profile/{}", zoe.user_id)).await.refused(404, "user_not_found");
    assert_eq!(unknown, foreign);
}

#[tokio::test]
async fn an_invalid_user_id_is_reported() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    assert_eq!(ann.get("/api/profile/a%20b").await.wrong_fields(), ["userId"]);
}

#[tokio::test]
async fn a_profile_shows_the_friendship_between_the_viewer_and_the_user() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    // In both alphabetical orders.
    for (from, to) in [(&ann, &bob), (&bob, &ann)] {
        for (status, seen_by_sender, seen_by_receiver) in [
            ("pending", "requestSent", "requestReceived"),
            ("accepted", "friends", "friends"),
            ("rejected", "none", "none"),
        ] {
            app.run(
                "REPLACE INTO friend_requests (from_id, to_id, status, created_at) VALUES (?, ?, ?, NOW())",
                (&from.user_id, &to.user_id, status),
            )
            .await;
            let of = async |asker: &Person, user: &Person| {
                asker.get(&format!("/api/profile/{}", user.user_id)).await.ok()["friendship"].clone()
            };
            assert_eq!(of(from, to).await, seen_by_sender, "{status}");
            assert_eq!(of(to, from).await, seen_by_receiver, "{status}");
            assert_eq!(of(from, from).await, Value::Null);
        }
    }
}

#[tokio::test]
async fn a_profile_does_not_show_friendships_with_third_users() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    app.run(
        "INSERT INTO friend_requests (from_id, to_id, status, created_at) VALUES (?, ?, 'accepted', NOW())",
        (&ann.user_id, &bob.user_id),
    )
    .await;
    for friend in [ann, bob] {
        let seen = eve.get(&format!("/api/profile/{}", friend.user_id)).await.ok();
        assert_eq!(seen["friendship"], "none");
    }
}
