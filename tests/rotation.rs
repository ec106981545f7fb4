//! A change of the key of access tokens in AWS, as docs/deploying.md describes it. `scripts/test --aws` runs this by
//! itself, after all other tests: the tokens that tests sign themselves are refused in its course.

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_secretsmanager::{Client, Config};
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::harness::{Person, SECRET, TestApp, claims, setting, signed};

const NEW: &str = "the key after the rotation, of enough bytes";

/// The secret of `JwtSecretArn`, and the functions that keep it.
struct Key<'a> {
    app: &'a TestApp,
    client: Client,
    /// How long functions keep a secret.
    age: Duration,
}

impl<'a> Key<'a> {
    fn of(app: &'a TestApp) -> Self {
        let endpoint = setting("TEST_AWS").expect("TEST_AWS must be the URL of the emulator");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .build();
        let (_, age) = app.settings().into_iter().find(|(name, _)| name == "SECRETS_SECONDS").unwrap();
        Self { app, client: Client::from_conf(config), age: Duration::from_secs(age.parse().unwrap()) }
    }

    /// Changes the secret, and waits until every function has to know it. Meanwhile a client notices nothing.
    async fn becomes(&self, current: &str, previous: &str, client: &mut Person) {
        let secret = json!({"current": current, "previous": previous}).to_string();
        // scripts/emulator-deploy gave it this name.
        let put = self.client.put_secret_value().secret_id("JwtSecretArn").secret_string(secret);
        put.send().await.unwrap();
        let known = Instant::now() + self.age;
        while Instant::now() < known {
            let refresh_token = json!({"refreshToken": client.refresh_token});
            let tokens = self.app.post("/api/auth/refresh-token", refresh_token).await.ok();
            client.access_token = tokens["accessToken"].as_str().unwrap().to_owned();
            client.refresh_token = tokens["refreshToken"].as_str().unwrap().to_owned();
            client.get("/api/profile/me").await.ok();
            client.connect().await.close().await;
        }
    }
}

/// Whether REST accepts a token of this person that is signed with `key`. The handshake has to do the same.
async fn accepts(person: &Person, key: &str) -> bool {
    let mut person = person.clone();
    person.access_token = signed(Algorithm::HS256, &claims(&person.access_token), key);
    let answer = person.get("/api/profile/me").await;
    if answer.status == 200 {
        person.connect().await.close().await;
        return true;
    }
    answer.refused(401, "unauthenticated");
    false
}

/// Whether new tokens are signed with `key`.
async fn signs_with(app: &TestApp, key: &str) -> bool {
    // Somebody new each time: the service makes the `userId`.
    let token = app.register(json!({})).await.access_token;
    signed(Algorithm::HS256, &claims(&token), key) == token
}

#[tokio::test]
#[ignore = "needs the emulator of AWS, and disturbs all other tests: scripts/test --aws"]
async fn a_rotation_is_noticed_by_nobody_and_ends_the_tokens_of_the_old_key() {
    let app = TestApp::start().await;
    let key = Key::of(&app);
    let (ann, mut client) = (app.user("ann").await, app.user("client").await);
    assert!(signs_with(&app, SECRET).await && accepts(&ann, SECRET).await && !accepts(&ann, NEW).await);

    key.becomes(SECRET, NEW, &mut client).await;
    assert!(signs_with(&app, SECRET).await && accepts(&ann, SECRET).await && accepts(&ann, NEW).await);

    key.becomes(NEW, SECRET, &mut client).await;
    assert!(signs_with(&app, NEW).await && accepts(&ann, SECRET).await && accepts(&ann, NEW).await);

    key.becomes(NEW, "", &mut client).await;
    assert!(signs_with(&app, NEW).await && !accepts(&ann, SECRET).await && accepts(&ann, NEW).await);
    // That was a token: the session goes on.
    app.post("/api/auth/refresh-token", json!({"refreshToken": ann.refresh_token})).await.ok();
}
