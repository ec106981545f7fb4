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
    // Ten of the 30 seconds remain for the requests, also on a slow machine.
    pass(&app, &ann, 20).await;
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

/// Refreshes a session this many times, and returns all its tokens, the oldest first.
async fn refreshed(app: &TestApp, person: &Person, times: usize) -> Vec<String> {
    let mut tokens = vec![person.refresh_token.clone()];
    for _ in 0..times {
        let successor = token(&refresh(app, tokens.last().unwrap()).await.ok());
        tokens.push(successor);
    }
    tokens
}

async fn stored_tokens(app: &TestApp, person: &Person) -> u64 {
    let sql = format!(
        "SELECT COUNT(*) FROM refresh_tokens JOIN sessions USING (session_id) WHERE user_id = '{}'",
        person.user_id
    );
    app.rows(&sql).await[0]
}

#[tokio::test]
async fn few_used_tokens_are_stored_and_the_reuse_of_each_still_ends_the_session() {
    let app = TestApp::start().await;
    for reused in [0, 1, 31, 32, 33, 63, 70, 97, 98] {
        let ann = app.user(&format!("ann{reused}")).await;
        let tokens = refreshed(&app, &ann, 100).await;
        let stored = stored_tokens(&app, &ann).await;
        assert!(stored <= 7, "{stored} tokens are stored after 100 refreshes");
        let mut socket = ann.connect().await;
        refresh(&app, &tokens[reused]).await.refused(401, "unauthenticated");
        socket.receives("sessionRevoked").await;
        refresh(&app, &tokens[100]).await.refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_that_nobody_was_given_ends_no_session() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let tokens = refreshed(&app, &ann, 40).await;
    refresh(&app, &"A".repeat(43)).await.refused(401, "unauthenticated");
    refresh(&app, &format!("successor of {}", tokens[39])).await.refused(401, "unauthenticated");
    refresh(&app, &tokens[40]).await.ok();
}

#[tokio::test]
async fn a_used_token_is_forgotten_when_it_would_have_expired() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let tokens = refreshed(&app, &ann, 70).await;
    let age = async |hours: u32| {
        app.run(
            "UPDATE refresh_tokens SET created_at = created_at - INTERVAL ? HOUR, rotated_at = rotated_at - INTERVAL ? HOUR
             WHERE session_id = ?",
            (hours, hours, ann.session_id()),
        )
        .await;
    };
    age(7 * 24 - 1).await;
    let newest = token(&refresh(&app, &tokens[70]).await.ok());
    assert!(stored_tokens(&app, &ann).await > 2, "an unused token would be valid for another hour");
    age(2).await;
    let newest = token(&refresh(&app, &newest).await.ok());
    assert!(stored_tokens(&app, &ann).await <= 3);
    refresh(&app, &tokens[0]).await.refused(401, "unauthenticated");
    refresh(&app, &newest).await.ok();
}
