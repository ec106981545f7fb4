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
async fn any_identifier_signs_in_and_all_but_the_user_id_ignore_case() {
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
    // An identifier of one kind is not accepted as another.
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
async fn an_identifier_that_looks_like_another_users_does_not_take_over_their_login() {
    let app = with_ann().await;
    // Others take Rose's username as their userId, and Ann's phone number and userId as their usernames.
    app.register(json!({"userId": "rose", "username": "Rosa", "password": "correct horse"})).await;
    for (user_id, username) in [("Rosa", "rose"), ("mallory", "+4912345"), ("eve", "ann")] {
        let thief = json!({"userId": user_id, "username": username, "password": "battery staple"});
        app.register(thief).await;
    }
    for (identifier, user_id) in [("+4912345", "ann"), ("ann", "ann"), ("Rosa", "rose"), ("rose", "rose")] {
        let login = json!({"identifier": identifier, "password": "correct horse"});
        assert_eq!(app.post("/api/auth/login", login).await.ok()["user"]["userId"], user_id, "{identifier}");
    }
    app.post("/api/auth/login", json!({"identifier": "ann", "password": "wrong"}))
        .await
        .refused(401, "invalid_credentials");
}

#[tokio::test]
async fn a_login_rehashes_a_password_of_another_cost() {
    let app = TestApp::with(&[("BCRYPT_COST", "5")]).await;
    app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    let costs =
        "SELECT SUBSTRING(password_hash, 5, 2) FROM users WHERE user_id IN ('ann', 'bob') ORDER BY user_id";
    assert_eq!(app.rows::<String>(costs).await, ["05"]);
    let cheaper = TestApp::start().await;
    cheaper.register(json!({"userId": "ann", "password": "another password"})).await;
    let hash = app.rows::<String>("SELECT password_hash FROM users").await.remove(0);
    cheaper.run("UPDATE users SET password_hash = ?", (hash,)).await;
    for _ in 0..2 {
        let login = json!({"userId": "ann", "password": "correct horse"});
        cheaper.post("/api/auth/login", login).await.ok();
        assert_eq!(cheaper.rows::<String>(costs).await, ["04"]);
    }
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
async fn an_unknown_user_and_a_wrong_password_get_the_same_response() {
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
async fn a_login_requires_exactly_one_identifier() {
    let app = with_ann().await;
    let none = app.post("/api/auth/login", json!({"password": "correct horse"})).await;
    assert_eq!(none.wrong_fields(), ["identifier"]);
    let two = app.post("/api/auth/login", json!({"userId": "ann", "email": "ann@example.com"})).await;
    assert_eq!(two.wrong_fields(), ["identifier", "password"]);
}

#[tokio::test]
async fn each_login_starts_a_session_of_its_own() {
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
