use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::Person;

/// The `JWT_SECRET` of the tests.
pub const SECRET: &str = "a secret of the tests, of enough bytes";

/// The claims of an access token.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A token with these claims.
pub fn signed(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .unwrap()
}

impl Person {
    /// The session of the access token.
    pub fn session_id(&self) -> String {
        claims(&self.access_token)["sid"].as_str().unwrap().to_owned()
    }

    /// The access token, changed to one that expired a second ago.
    pub fn expired_token(&self) -> String {
        let mut claims = claims(&self.access_token);
        let now = claims["iat"].as_u64().unwrap();
        claims["iat"] = json!(now - 901);
        claims["exp"] = json!(now - 1);
        signed(Algorithm::HS256, &claims, SECRET)
    }
}
