//! A request that waits for a row obeys what is committed in the meantime, as in `rooms::overtaking`.

use mysql_async::TxOpts;
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::harness::{Person, TestApp};

/// Runs `act` while the row that `lock` selects is locked. Once a statement that contains `waiting` waits, it runs
/// `commit` under the lock and commits it.
async fn meanwhile<T>(
    app: &TestApp,
    (lock, waiting, commit): (&str, &str, &[&str]),
    act: impl Future<Output = T>,
) -> T {
    let mut database = app.database().await;
    let mut holder = database.start_transaction(TxOpts::default()).await.unwrap();
    holder.query_drop(format!("{lock} FOR UPDATE")).await.unwrap();
    let overtake = async {
        app.until_waiting(waiting).await;
        for sql in commit {
            holder.query_drop(*sql).await.unwrap();
        }
        holder.commit().await.unwrap();
    };
    tokio::join!(act, overtake).0
}

const ROW: &str = "SELECT 1 FROM users WHERE user_id = 'ann'";

#[tokio::test]
async fn a_login_with_the_old_password_fails_if_the_password_changes_meanwhile() {
    let app = TestApp::start().await;
    app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    app.register(json!({"userId": "bob", "password": "battery staple"})).await;
    let login = app.post("/api/auth/login", json!({"userId": "ann", "password": "correct horse"}));
    let commit = [
        "UPDATE users SET password_hash = (SELECT b.hash FROM (SELECT password_hash AS hash FROM users WHERE user_id = 'bob') b)
         WHERE user_id = 'ann'",
        "UPDATE sessions SET revoked_at = UTC_TIMESTAMP(3) WHERE user_id = 'ann'",
    ];
    meanwhile(&app, (ROW, "role, password_hash FROM users", &commit), login)
        .await
        .refused(401, "invalid_credentials");
    let open: Vec<u64> =
        app.rows("SELECT COUNT(*) FROM sessions WHERE user_id = 'ann' AND revoked_at IS NULL").await;
    assert_eq!(open, [0]);
    let login = json!({"userId": "ann", "password": "battery staple"});
    app.post("/api/auth/login", login).await.ok();
}

#[tokio::test]
async fn a_handshake_is_refused_if_the_session_ends_before_the_socket_is_stored() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let query = format!("?token={}", ann.access_token);
    let lock = format!("SELECT 1 FROM sessions WHERE session_id = '{}'", ann.session_id());
    let commit = ["UPDATE sessions SET revoked_at = UTC_TIMESTAMP(3) WHERE user_id = 'ann'"];
    let socket = meanwhile(&app, (&lock, "INSERT INTO connections", &commit), app.connect(&query)).await;
    assert_eq!(socket.err().map(|(status, _)| status), Some(401));
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM connections").await, [0]);
}

#[tokio::test]
async fn a_user_who_loses_prime_while_waiting_cannot_create_a_password_room() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.post("/api/chatrooms", json!({"name": "Tea", "password": "open sesame"}));
    let commit = ["UPDATE users SET prime = FALSE WHERE user_id = 'ann'"];
    meanwhile(&app, (ROW, "SHARE MODE", &commit), room).await.refused(403, "prime_required");
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM rooms").await, [0]);
}

async fn request(app: &TestApp) -> (Person, Person, u64) {
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let asked = ann.post("/api/friend-requests", json!({"userId": "bob"})).await.created();
    (ann, bob, asked["friendRequest"]["id"].as_u64().unwrap())
}

#[tokio::test]
async fn a_request_that_has_just_been_accepted_cannot_be_rejected() {
    let app = TestApp::start().await;
    let (_, bob, id) = request(&app).await;
    let path = format!("/api/friend-requests/{id}");
    let rejects = bob.patch(&path, json!({"status": "rejected"}));
    let lock = format!("SELECT 1 FROM friend_requests WHERE id = {id}");
    let commit = ["UPDATE friend_requests SET status = 'accepted', answered_at = UTC_TIMESTAMP(3)"];
    meanwhile(&app, (&lock, "friend_requests", &commit), rejects).await.refused(409, "already_friends");
}

#[tokio::test]
async fn concurrent_grants_of_the_operator_are_all_made() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let grants = (0..8).map(|_| {
        app.invoke("operator", json!({"command": "grant", "userId": "ann", "coins": 5, "reason": "prize"}))
    });
    for granted in futures_util::future::join_all(grants).await {
        granted.unwrap();
    }
    assert_eq!(ann.coins().await, 40);
    app.invariants_hold().await;
}

#[tokio::test]
async fn concurrent_grants_of_the_operator_never_take_more_coins_than_there_are() {
    let app = TestApp::start().await;
    let ann = app.rich("ann", 40).await;
    let takings =
        (0..8).map(|_| app.invoke("operator", json!({"command": "grant", "userId": "ann", "coins": -20})));
    let takings = futures_util::future::join_all(takings).await;
    let refusals: Vec<_> = takings.into_iter().filter_map(Result::err).collect();
    assert_eq!(refusals.len(), 6);
    assert!(refusals.iter().all(|refusal| refusal.contains("there are 0")), "{refusals:?}");
    assert_eq!(ann.coins().await, 0);
    app.invariants_hold().await;
}
