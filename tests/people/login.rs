use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

async fn with_ann() -> TestApp {
    let app = TestApp::start().await;
    let ann = json!({
        "userId": "ann", "username": "Ann B", "email": "ann@example.com", "phone": "+4912345", "password": "correct horse"
    });
    app.register(ann).await;
    app
}

#[tokio::test]
async fn any_identifier_signs_in_without_regard_to_case_where_that_is_the_rule() {
    let app = with_ann().await;
    let accepted = [
        ("userId", "ann"),
        ("username", "ann b"),
        ("email", "ANN@example.com"),
        ("phone", "+49 123-45"),
        ("identifier", "ann"),
        ("identifier", "Ann@Example.com"),
        ("identifier", "ANN B"),
        ("identifier", "+49 12345"),
    ];
    for (field, value) in accepted {
        let login = app.post("/api/auth/login", json!({field: value, "password": "correct horse"})).await;
        assert_eq!(login.ok()["user"]["userId"], "ann", "{field} {value}");
    }
    // An identifier of one kind is none of another.
    for (field, value) in
        [("userId", "Ann B"), ("userId", "ANN"), ("email", "ann"), ("username", "ann@example.com")]
    {
        let login = app.post("/api/auth/login", json!({field: value, "password": "correct horse"})).await;
        login.refused(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn every_documented_path_signs_in() {
    let app = with_ann().await;
    for path in ["/api/auth/login", "/auth/login", "/api/login"] {
        let login = app.post(
            path,
            json!({"email": "ann@example.com", "password": "correct horse", "deviceId": "pixel"}),
        );
        let ann = Person::new(&app, &login.await.ok());
        ann.get("/api/profile/me").await.ok();
    }
    let devices: Vec<String> = app.rows("SELECT device_id FROM sessions WHERE device_id IS NOT NULL").await;
    assert_eq!(devices, ["pixel", "pixel", "pixel"]);
}

#[tokio::test]
async fn a_user_id_comes_before_somebody_elses_username() {
    let app = TestApp::start().await;
    app.register(json!({"userId": "bob", "username": "ann", "password": "password of bob"})).await;
    app.register(json!({"userId": "ann", "username": "bob", "password": "password of ann"})).await;
    for name in ["ann", "bob"] {
        let login = json!({"identifier": name, "password": format!("password of {name}")});
        assert_eq!(app.post("/api/auth/login", login).await.ok()["user"]["userId"], name);
    }
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let app = with_ann().await;
    let mut answers: Vec<Value> = Vec::new();
    for (user, password) in
        [("ann", "wrong horse"), ("nobody", "correct horse"), ("ann", ""), ("ann", &"x".repeat(100))]
    {
        let login = app.post("/api/auth/login", json!({"identifier": user, "password": password})).await;
        answers.push(login.refused(401, "invalid_credentials"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_login_takes_just_one_identifier() {
    let app = with_ann().await;
    let none = app.post("/api/auth/login", json!({"password": "correct horse"})).await;
    assert_eq!(none.wrong_fields(), ["identifier"]);
    let two = app.post("/api/auth/login", json!({"userId": "ann", "email": "ann@example.com"})).await;
    assert_eq!(two.wrong_fields(), ["identifier", "password"]);
}

#[tokio::test]
async fn each_login_is_a_session_of_its_own() {
    let app = with_ann().await;
    let mut people = Vec::new();
    for _ in 0..2 {
        let login =
            app.post("/api/auth/login", json!({"userId": "ann", "password": "correct horse"})).await.ok();
        people.push(Person::new(&app, &login));
    }
    app.run("UPDATE sessions SET revoked_at = NOW() ORDER BY created_at LIMIT 1", ()).await;
    for ann in &people {
        ann.get("/api/profile/me").await.ok();
    }
}
