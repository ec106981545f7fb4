//! Problems and their codes: docs/contract.md, "5. Errors".

use serde_json::json;

use crate::harness::{Answer, TestApp};

#[tokio::test]
async fn a_problem_has_type_title_status_detail_and_code() {
    let app = TestApp::start().await;
    let answer = app.get("/api/profile/me").await;
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(
        answer.refused(401, "unauthenticated"),
        json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401,
            "detail": "Sign in and send the access token as `Authorization: Bearer <accessToken>`.",
            "code": "unauthenticated"
        })
    );
}

#[tokio::test]
async fn anybody_can_see_that_the_service_is_healthy() {
    let app = TestApp::start().await;
    let health = app.get("/health").await.ok();
    assert_eq!((&health["status"], &health["database"]), (&json!("ok"), &json!("ok")));
}

#[tokio::test]
async fn an_unreachable_database_gives_503_with_retry_after_everywhere() {
    let app = TestApp::without_database().await;
    let answers = [
        app.get("/health").await,
        app.post("/api/auth/login", json!({"userId": "ann", "password": "correct horse"})).await,
        app.post("/api/auth/register", json!({"userId": "ann", "password": "correct horse"})).await,
    ];
    for answer in answers {
        assert_eq!(answer.headers["retry-after"], "2");
        let problem = answer.refused(503, "database_unavailable");
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    }
}

#[tokio::test]
async fn a_database_error_gives_500_without_the_databases_message() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    app.run("DROP TABLE room_members", ()).await;
    let problem =
        ann.post("/api/chatrooms", json!({"password": "open sesame"})).await.refused(500, "internal");
    assert!(problem["requestId"].is_string());
    assert!(!problem.to_string().contains("room_members"), "{problem}");
}

#[tokio::test]
async fn an_unknown_route_or_method_gets_the_gateways_404() {
    let app = TestApp::start().await;
    for path in ["/", "/nowhere", "/api/profile", "/api/profile/ann/more", "/api/joinroom", "/health/"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.json), (404, json!({"message": "Not Found"})), "{path}");
    }
}

#[tokio::test]
async fn a_body_of_more_than_6_mb_is_refused_by_the_gateway() {
    let app = TestApp::start().await;
    let request = app.http.post(format!("{}/api/auth/login", app.url)).body("x".repeat(6 * 1024 * 1024 + 1));
    let answer = Answer::of(request, "POST", "/api/auth/login", None).await;
    assert_eq!((answer.status, answer.json), (413, json!({"message": "Request Entity Too Large"})));
}
