use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// Signs in again, on a device with this id.
async fn on(app: &TestApp, person: &Person, device_id: &str) -> Person {
    let password = format!("{}'s password", person.user_id);
    let login = json!({"userId": person.user_id, "password": password, "deviceId": device_id});
    Person::new(app, &app.post("/api/auth/login", login).await.ok())
}

async fn listed(person: &Person) -> Vec<Value> {
    person.get("/api/auth/sessions").await.ok()["sessions"].as_array().unwrap().clone()
}

/// The id of the current session.
async fn own_session(person: &Person) -> String {
    let own = listed(person).await.into_iter().find(|session| session["current"] == true);
    own.unwrap()["sessionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn live_sessions_are_listed_newest_first_and_the_current_one_is_marked() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "deviceId": "phone"})).await;
    let bob = app.user("bob").await;
    app.run(
        "UPDATE sessions SET created_at = created_at - INTERVAL 1 DAY WHERE user_id = ?",
        (&ann.user_id,),
    )
    .await;
    let laptop = on(&app, &ann, "laptop").await;
    let summary = |sessions: &[Value]| -> Vec<(Value, Value)> {
        sessions.iter().map(|session| (session["deviceId"].clone(), session["current"].clone())).collect()
    };
    let sessions = listed(&laptop).await;
    assert_eq!(summary(&sessions), [(json!("laptop"), json!(true)), (json!("phone"), json!(false))]);
    assert!(sessions[0]["createdAt"].as_str() < sessions[0]["expiresAt"].as_str());
    assert_eq!(
        summary(&listed(&ann).await),
        [(json!("laptop"), json!(false)), (json!("phone"), json!(true))]
    );
    assert_eq!(summary(&listed(&bob).await), [(Value::Null, json!(true))]);
}

#[tokio::test]
async fn sessions_are_read_part_by_part_also_those_of_one_moment() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for device in ["phone", "laptop", "tablet", "watch"] {
        on(&app, &ann, device).await;
    }
    let id = |session: &Value| session["sessionId"].as_str().unwrap().to_owned();
    for moment in ["created_at", "'2026-01-02 03:04:05.678'"] {
        app.run(&format!("UPDATE sessions SET created_at = {moment} WHERE user_id = ?"), (&ann.user_id,))
            .await;
        let whole: Vec<_> = listed(&ann).await.iter().map(id).collect();
        let parts = ann.parts("/api/auth/sessions", 2).await;
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(parts.concat().iter().map(id).collect::<Vec<_>>(), whole);
    }
    for wrong in ["99999999999999999.x", "253402300800000.x"] {
        ann.get(&format!("/api/auth/sessions?after={wrong}")).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn an_ended_session_is_no_longer_listed() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let (expired, logged_out) = (on(&app, &ann, "old phone").await, on(&app, &ann, "phone").await);
    let expired = own_session(&expired).await;
    app.run("UPDATE sessions SET expires_at = NOW() - INTERVAL 1 SECOND WHERE session_id = ?", (expired,))
        .await;
    logged_out.post("/api/auth/logout", json!({})).await.no_content();
    assert_eq!(listed(&ann).await.len(), 1);
}

#[tokio::test]
async fn revoking_a_session_ends_only_that_session_with_its_tokens_and_sockets() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let phone = on(&app, &ann, "phone").await;
    let (mut here, mut there) = (ann.connect().await, phone.connect().await);
    let id = own_session(&phone).await;
    ann.delete(&format!("/api/auth/sessions/{id}")).await.no_content();
    there.receives("sessionRevoked").await;
    assert_eq!(there.closed().await, 1000);
    phone.get("/api/profile/me").await.refused(401, "unauthenticated");
    let refresh = app.post("/api/auth/refresh-token", json!({"refreshToken": phone.refresh_token})).await;
    refresh.refused(401, "unauthenticated");
    here.has_nothing().await;
    assert_eq!(listed(&ann).await.len(), 1);
}

#[tokio::test]
async fn the_current_session_can_be_revoked_too() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    ann.delete(&format!("/api/auth/sessions/{}", own_session(&ann).await)).await.no_content();
    ann.get("/api/profile/me").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn an_unknown_or_ended_session_or_one_of_another_user_is_not_found() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let (revoked, expired) = (on(&app, &ann, "phone").await, on(&app, &ann, "old phone").await);
    let (revoked, expired) = (own_session(&revoked).await, own_session(&expired).await);
    ann.delete(&format!("/api/auth/sessions/{revoked}")).await.no_content();
    app.run("UPDATE sessions SET expires_at = NOW() - INTERVAL 1 SECOND WHERE session_id = ?", (&expired,))
        .await;
    for id in ["unknown".to_owned(), revoked, expired, own_session(&bob).await] {
        ann.delete(&format!("/api/auth/sessions/{id}")).await.refused(404, "session_not_found");
    }
    bob.get("/api/profile/me").await.ok();
    assert_eq!(ann.delete("/api/auth/sessions/%00").await.wrong_fields(), ["sessionId"]);
}

/// Gives a person more sessions, each newer than those they have.
async fn more_sessions(app: &TestApp, person: &Person, count: u32) {
    app.run(
        "INSERT INTO sessions (session_id, user_id, created_at, expires_at)
         WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         SELECT RIGHT(CONCAT(SHA2(CONCAT(?, n), 256), n), 22), ?, UTC_TIMESTAMP(3) - INTERVAL 100 - n SECOND,
                UTC_TIMESTAMP(3) + INTERVAL 1 DAY FROM numbers",
        (count, &person.user_id, &person.user_id),
    )
    .await;
    let sql = "UPDATE sessions SET created_at = created_at - INTERVAL 1 DAY WHERE session_id = ?";
    app.run(sql, (person.session_id(),)).await;
}

#[tokio::test]
async fn the_101st_session_ends_the_oldest_with_its_tokens_and_sockets() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    more_sessions(&app, &ann, 98).await;
    let (mut socket, hundredth) = (ann.connect().await, on(&app, &ann, "tablet").await);
    socket.has_nothing().await;
    assert_eq!(listed(&hundredth).await.len(), 100);
    let newest = on(&app, &ann, "phone").await;
    socket.receives("sessionRevoked").await;
    assert_eq!(socket.closed().await, 1000);
    ann.get("/api/profile/me").await.refused(401, "unauthenticated");
    let refresh = app.post("/api/auth/refresh-token", json!({"refreshToken": ann.refresh_token})).await;
    refresh.refused(401, "unauthenticated");
    hundredth.get("/api/profile/me").await.ok();
    assert_eq!(listed(&newest).await.len(), 100);
}

#[tokio::test]
async fn concurrent_logins_leave_100_sessions_and_ended_ones_leave_room() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    more_sessions(&app, &ann, 94).await;
    join_all((0..12).map(|_| on(&app, &ann, "phone"))).await;
    let newest = on(&app, &ann, "tablet").await;
    assert_eq!(listed(&newest).await.len(), 100);
    newest.post("/api/auth/logout", json!({"everywhere": true})).await.no_content();
    let again = on(&app, &ann, "tablet").await;
    assert_eq!(listed(&again).await.len(), 1);
}
