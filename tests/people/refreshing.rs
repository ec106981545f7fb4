use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post("/api/auth/refresh-token", json!({"refreshToken": token})).await
}

fn token(answer: &Value) -> String {
    answer["refreshToken"].as_str().unwrap().to_owned()
}

/// Moves the person's token exchanges so far into the past.
async fn pass(app: &TestApp, person: &Person, seconds: u32) {
    app.run(
        "UPDATE refresh_tokens SET rotated_at = rotated_at - INTERVAL ? SECOND
         WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = ?)",
        (seconds, &person.user_id),
    )
    .await;
}

#[tokio::test]
async fn a_refresh_token_gives_fresh_tokens_on_every_documented_path() {
    let app = TestApp::start().await;
    let mut ann = app.user("ann").await;
    for path in ["/api/auth/refresh-token", "/auth/refresh-token", "/refresh-token"] {
        let fresh = app.post(path, json!({"refreshToken": ann.refresh_token})).await.ok();
        assert_ne!(token(&fresh), ann.refresh_token);
        ann.refresh_token = token(&fresh);
        fresh["accessToken"].as_str().unwrap().clone_into(&mut ann.access_token);
        ann.get("/api/profile/me").await.ok();
    }
}

#[tokio::test]
async fn concurrent_refreshes_get_the_same_successor() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let answers = join_all((0..8).map(|_| refresh(&app, &ann.refresh_token))).await;
    let mut successors: Vec<_> = answers.into_iter().map(|answer| token(&answer.ok())).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1);
    let sql = format!(
        "SELECT COUNT(*) FROM refresh_tokens JOIN sessions USING (session_id) WHERE user_id = '{}'",
        ann.user_id
    );
    assert_eq!(app.rows::<u64>(&sql).await, [2]);
}

#[tokio::test]
async fn an_old_token_returns_its_successor_again_for_30_seconds_while_that_is_unused() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let first = token(&refresh(&app, &ann.refresh_token).await.ok());
    pass(&app, &ann, 29).await;
    assert_eq!(token(&refresh(&app, &ann.refresh_token).await.ok()), first);
    ann.get("/api/profile/me").await.ok();
}

#[tokio::test]
async fn an_old_token_used_after_30_seconds_ends_the_session_and_its_sockets() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut socket = ann.connect().await;
    let successor = token(&refresh(&app, &ann.refresh_token).await.ok());
    pass(&app, &ann, 31).await;
    refresh(&app, &ann.refresh_token).await.refused(401, "unauthenticated");
    refresh(&app, &successor).await.refused(401, "unauthenticated");
    ann.get("/api/profile/me").await.refused(401, "unauthenticated");
    socket.receives("sessionRevoked").await;
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn reuse_of_a_token_whose_successor_was_used_ends_the_session_at_once() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let second = token(&refresh(&app, &ann.refresh_token).await.ok());
    let third = token(&refresh(&app, &second).await.ok());
    refresh(&app, &ann.refresh_token).await.refused(401, "unauthenticated");
    refresh(&app, &third).await.refused(401, "unauthenticated");
    ann.get("/api/profile/me").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_reuse_ends_only_its_own_session() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    let login =
        app.post("/api/auth/login", json!({"userId": ann.user_id, "password": "correct horse"})).await.ok();
    let other = Person::new(&app, &login);
    refresh(&app, &ann.refresh_token).await.ok();
    pass(&app, &ann, 31).await;
    refresh(&app, &ann.refresh_token).await.refused(401, "unauthenticated");
    other.get("/api/profile/me").await.ok();
    refresh(&app, &other.refresh_token).await.ok();
}

#[tokio::test]
async fn an_invalid_refresh_token_is_refused() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for wrong in ["x", &ann.access_token, &"A".repeat(43)] {
        refresh(&app, wrong).await.refused(401, "unauthenticated");
    }
    let none = app.post("/api/auth/refresh-token", json!({})).await;
    assert_eq!(none.wrong_fields(), ["refreshToken"]);
}

#[tokio::test]
async fn a_session_lives_seven_days_from_its_last_refresh() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let ends_in = async |seconds: i32| {
        let sql = "UPDATE sessions SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ? SECOND WHERE user_id = ?";
        app.run(sql, (seconds, &ann.user_id)).await;
    };
    ends_in(60).await;
    let fresh = token(&refresh(&app, &ann.refresh_token).await.ok());
    let sql = format!(
        "SELECT ROUND(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), expires_at) / 86400)
         FROM sessions WHERE user_id = '{}'",
        ann.user_id
    );
    assert_eq!(app.rows::<i64>(&sql).await, [7]);
    ends_in(-1).await;
    refresh(&app, &fresh).await.refused(401, "unauthenticated");
}
