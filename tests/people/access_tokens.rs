use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{Person, SECRET, TestApp, claims, signed};

/// Whether both REST and the handshake refuse the token.
async fn refuse(app: &TestApp, person: &Person, token: String) -> bool {
    let mut person = person.clone();
    person.access_token.clone_from(&token);
    let rest = person.get("/api/profile/me").await;
    let socket = app.connect(&format!("?token={token}")).await.err();
    rest.status == 401
        && rest.json["code"] == "unauthenticated"
        && socket.is_some_and(|(status, _)| status == 401)
}

#[tokio::test]
async fn an_access_token_has_the_documented_claims_and_lasts_fifteen_minutes() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let claims = claims(&ann.access_token);
    let is = |name: &str, value: Value| assert_eq!(claims[name], value, "{name}");
    is("sub", json!(ann.user_id));
    is("org", json!(1));
    is("role", json!("user"));
    is("iss", json!("coterie"));
    is("aud", json!("coterie"));
    is("exp", json!(claims["iat"].as_u64().unwrap() + 15 * 60));
    assert!(claims["sid"].is_string() && claims["jti"].is_string());
}

#[tokio::test]
async fn forged_altered_and_expired_tokens_are_refused() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let good = claims(&ann.access_token);
    assert!(
        !refuse(&app, &ann, signed(Algorithm::HS256, &good, SECRET)).await,
        "the unchanged token is accepted"
    );

    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let none = format!(
        "{}.{}.",
        BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
        ann.access_token.split('.').nth(1).unwrap()
    );
    let mut tampered = ann.access_token.clone().into_bytes();
    let middle = tampered.len() / 2;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    let forged = [
        ("no algorithm", none),
        ("another algorithm", signed(Algorithm::HS512, &good, SECRET)),
        ("another secret", signed(Algorithm::HS256, &good, "not the secret of the tests, you see")),
        ("a changed byte", String::from_utf8(tampered).unwrap()),
        (
            "expired",
            signed(Algorithm::HS256, &changed("exp", json!(good["iat"].as_u64().unwrap() - 1)), SECRET),
        ),
        ("another issuer", signed(Algorithm::HS256, &changed("iss", json!("other")), SECRET)),
        ("another audience", signed(Algorithm::HS256, &changed("aud", json!("other")), SECRET)),
        ("another user's", signed(Algorithm::HS256, &changed("sub", json!("bob")), SECRET)),
        (
            "an unknown session",
            signed(Algorithm::HS256, &changed("sid", json!("0123456789012345678901")), SECRET),
        ),
        ("a refresh token", ann.refresh_token.clone()),
        ("nothing", String::new()),
    ];
    for (what, token) in forged {
        assert!(refuse(&app, &ann, token).await, "{what}");
    }
}

#[tokio::test]
async fn access_tokens_of_a_revoked_or_expired_session_are_refused_at_once() {
    let app = TestApp::start().await;
    for (name, end) in [("ann", "revoked_at = NOW()"), ("bob", "expires_at = NOW() - INTERVAL 1 SECOND")] {
        let person = app.user(name).await;
        person.get("/api/profile/me").await.ok();
        app.run(&format!("UPDATE sessions SET {end} WHERE user_id = ?"), (&person.user_id,)).await;
        assert!(refuse(&app, &person, person.access_token.clone()).await, "{name}");
    }
}

#[tokio::test]
async fn the_previous_secret_is_accepted_during_a_rotation() {
    let app = TestApp::with(&[
        ("JWT_SECRET", "the new secret, of enough bytes too"),
        ("JWT_SECRET_PREVIOUS", SECRET),
    ])
    .await;
    let ann = app.user("ann").await;
    assert!(!refuse(&app, &ann, ann.access_token.clone()).await, "signed with the new secret");
    assert!(
        !refuse(&app, &ann, signed(Algorithm::HS256, &claims(&ann.access_token), SECRET)).await,
        "signed with the previous secret"
    );
}

#[tokio::test]
async fn a_stale_claim_grants_nothing() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    app.run("UPDATE users SET prime = FALSE WHERE user_id = ?", (&ann.user_id,)).await;
    let answer = ann.post("/api/chatrooms", json!({"password": "open sesame"})).await;
    answer.refused(403, "prime_required");
}

#[tokio::test]
async fn the_authorization_scheme_is_bearer_in_any_case() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for (header, status) in [("bearer", 200), ("BEARER", 200), ("Basic", 401), ("", 401)] {
        let request = app.http.get(format!("{}/api/profile/me", app.url));
        let request = request.header("authorization", format!("{header} {}", ann.access_token));
        let answer = crate::harness::Answer::of(request, "GET", "/api/profile/me", Some(&ann.user_id)).await;
        assert_eq!(answer.status, status, "{header}");
    }
}
