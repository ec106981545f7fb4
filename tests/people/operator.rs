use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

async fn make_admin(app: &TestApp, person: &Person) -> Result<Value, String> {
    app.invoke("operator", json!({"command": "make-admin", "userId": person.user_id})).await
}

async fn grant(app: &TestApp, person: &Person, mut event: Value) -> Result<Value, String> {
    event["command"] = json!("grant");
    event["userId"] = json!(person.user_id);
    app.invoke("operator", event).await
}

#[tokio::test]
async fn the_operator_can_appoint_an_admin_even_of_public() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.rich("ann", 7).await, app.user("bob").await);
    let report = make_admin(&app, &ann).await.unwrap();
    assert_eq!(
        report,
        json!({
            "userId": ann.user_id, "organization": {"id": 1, "name": "public"}, "role": "admin", "prime": false,
            "availCoins": 7, "granted": 0, "changed": true
        })
    );
    assert_eq!(make_admin(&app, &ann).await.unwrap()["changed"], false);
    // Ann can use her new role at once, in `public`.
    ann.patch(&format!("/api/users/{}", bob.user_id), json!({"role": "moderator"})).await.ok();
}

#[tokio::test]
async fn the_operator_can_give_and_take_coins_and_prime() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let report = grant(&app, &ann, json!({"coins": 300, "prime": true, "reason": "prize"})).await.unwrap();
    assert_eq!(
        (&report["availCoins"], &report["granted"], &report["prime"], &report["changed"]),
        (&json!(300), &json!(300), &json!(true), &json!(true))
    );
    let report = grant(&app, &ann, json!({"coins": -100})).await.unwrap();
    assert_eq!((&report["availCoins"], &report["prime"]), (&json!(200), &json!(true)));
    assert_eq!(grant(&app, &ann, json!({"prime": false})).await.unwrap()["availCoins"], 200);
    assert_eq!(grant(&app, &ann, json!({"prime": false})).await.unwrap()["changed"], false);
    let ledger = ann.get("/api/coins").await.ok();
    let row = |index: usize| json!([ledger["data"][index]["delta"], ledger["data"][index]["reason"]]);
    assert_eq!((row(0), row(1)), (json!([-100, "granted by the operator"]), json!([300, "prize"])));
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_grant_with_a_key_is_made_once_and_one_without_a_key_each_time() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for balance in [5, 10] {
        assert_eq!(grant(&app, &ann, json!({"coins": 5})).await.unwrap()["availCoins"], balance);
    }
    let once = json!({"coins": 50, "idempotencyKey": "quiz"});
    for granted in [50, 0] {
        let report = grant(&app, &ann, once.clone()).await.unwrap();
        assert_eq!((&report["granted"], &report["availCoins"]), (&json!(granted), &json!(60)));
    }
    let other =
        grant(&app, &ann, json!({"coins": 51, "prime": true, "idempotencyKey": "quiz"})).await.unwrap_err();
    assert!(other.contains("idempotencyKey"), "{other}");
    assert_eq!(ann.get("/api/profile/me").await.ok()["prime"], false);
    app.invariants_hold().await;
}

#[tokio::test]
async fn with_closed_grants_the_operator_can_still_give_coins_and_prime() {
    let app = TestApp::with(&[("SIGNUP_GRANTS", "closed")]).await;
    let ann = app.user("ann").await;
    grant(&app, &ann, json!({"coins": 300, "prime": true})).await.unwrap();
    let ann_sees = ann.get("/api/profile/me").await.ok();
    assert_eq!((&ann_sees["availCoins"], &ann_sees["prime"]), (&json!(300), &json!(true)));
}

#[tokio::test]
async fn a_refused_command_says_why_and_changes_nothing() {
    let app = TestApp::start().await;
    let ann = app.rich("ann", 10).await;
    for (event, why) in [
        (json!({}), "`command` is required; `userId` is required"),
        (json!({"command": "promote", "userId": "ann"}), "`command` must be make-admin or grant"),
        (json!({"command": "make-admin", "userId": "nobody"}), "no such user"),
        (json!({"command": "grant", "userId": "nobody", "coins": 5}), "no such user"),
        (json!({"command": "grant", "userId": ann.user_id}), "`coins` must be given"),
        (
            json!({"command": "grant", "userId": ann.user_id, "coins": 0, "prime": "yes", "reason": "", "idempotencyKey": ""}),
            "`coins`",
        ),
        (
            json!({"command": "grant", "userId": ann.user_id, "coins": 1_000_000_000, "prime": true}),
            "`coins` must be at most 999999990",
        ),
        (json!({"command": "grant", "userId": ann.user_id, "coins": -11, "prime": true}), "there are 10"),
    ] {
        let error = app.invoke("operator", event.clone()).await.unwrap_err();
        assert!(error.contains(why), "{event}: {error}");
    }
    let ann_sees = ann.get("/api/profile/me").await.ok();
    assert_eq!((&ann_sees["availCoins"], &ann_sees["prime"]), (&json!(10), &json!(false)));
    app.invariants_hold().await;
}

#[tokio::test]
async fn the_operator_has_no_route() {
    let app = TestApp::start().await;
    assert_eq!(app.post("/operator", json!({})).await.status, 404);
}
