//! Access tokens: JWT, HS256, 15 minutes (`docs/contract.md`, "Sessions and tokens"; RFC 7519).

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::base::ids::UserId;
use crate::base::user::{Role, User};
use crate::config::{Config, Keys};
use crate::{Error, Result};

/// How long an access token is valid, in seconds. Answers report it as `expiresIn`.
pub const LIFETIME: u64 = 15 * 60;
const ISSUER: &str = "coterie";
const AUDIENCE: &str = "coterie";

/// The claims of a token. The service relies on `sid` alone: the session's row says who its user is now.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: UserId,
    /// The organization's id.
    pub org: u64,
    /// The role in the organization.
    pub role: Role,
    /// The session.
    pub sid: String,
    /// Issued at, in seconds since 1970.
    pub iat: u64,
    /// Expires at, in seconds since 1970.
    pub exp: u64,
    /// Who issued it.
    pub iss: String,
    /// The audience it was issued for.
    pub aud: String,
    /// The token's own id.
    pub jti: String,
}

/// Whom an access token or a ticket names. The session may have ended meanwhile.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The user's public id.
    pub user_id: UserId,
    /// The session.
    pub session_id: String,
}

impl From<User> for Bearer {
    fn from(User { user_id, session_id, .. }: User) -> Self {
        Self { user_id, session_id }
    }
}

impl From<Claims> for Bearer {
    fn from(Claims { sub, sid, .. }: Claims) -> Self {
        Self { user_id: sub, session_id: sid }
    }
}

/// A token on its way to its owner, who sees it once. It can be serialized, but `Debug` hides it.
#[derive(Clone, Debug)]
pub struct IssuedToken(SecretString);

impl From<String> for IssuedToken {
    fn from(token: String) -> Self {
        Self(token.into())
    }
}

impl IssuedToken {
    /// The token itself, for an answer to its owner.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Serialize for IssuedToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

/// The keys that sign and check access tokens. A function that has none must not issue or check any.
#[derive(Clone, Debug)]
pub struct AccessTokens {
    signing: Option<EncodingKey>,
    /// The current key first, then the previous one during a rotation.
    accepted: Vec<DecodingKey>,
    validation: Validation,
}

impl AccessTokens {
    /// Derives the keys from `JWT_SECRET` and `JWT_SECRET_PREVIOUS`.
    pub fn new(config: &Config) -> Self {
        // The algorithm is pinned here and never taken from a token's header.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let secrets = config.jwt_secret.iter().chain(&config.jwt_secret_previous);
        let signing = config.jwt_secret.as_ref();
        Self {
            signing: signing.map(|secret| EncodingKey::from_secret(secret.expose_secret().as_bytes())),
            accepted: secrets
                .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()))
                .collect(),
            validation,
        }
    }

    /// Signs a token for a session.
    ///
    /// # Errors
    /// [`Error::Internal`] when it cannot be signed, as without a key.
    pub fn issue(
        &self,
        user_id: &UserId,
        organization_id: u64,
        role: Role,
        session_id: &str,
    ) -> Result<IssuedToken> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            sub: user_id.clone(),
            org: organization_id,
            role,
            sid: session_id.to_owned(),
            iat: now,
            exp: now + LIFETIME,
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            jti: random_token::<16>(),
        };
        let key = self.signing.as_ref().ok_or_else(|| no_key("JWT_SECRET"))?;
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key);
        token.map(IssuedToken::from).map_err(Error::internal)
    }

    /// Returns the claims of a token that one of our keys signed and that has not expired.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], whatever is wrong with it; [`Error::Internal`] without a key.
    pub fn verify(&self, token: &str) -> Result<Claims> {
        if self.accepted.is_empty() {
            return Err(no_key("JWT_SECRET"));
        }
        self.accepted
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok())
            .map(|token| token.claims)
            .ok_or(Error::Unauthenticated)
    }
}

fn no_key(setting: &str) -> Error {
    Error::internal(format!("this function has no {setting}"))
}

/// The key under which refresh tokens are hashed. A function that has none must not take or give any.
#[derive(Clone, Debug)]
pub struct RefreshTokens(Option<hmac::Key>);

impl RefreshTokens {
    /// Derives the key from `REFRESH_SECRET`.
    pub fn new(config: &Config) -> Self {
        let secret = config.refresh_secret.as_ref();
        Self(secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes())))
    }

    /// Returns the hash of a token, which is what the database stores.
    ///
    /// # Errors
    /// [`Error::Internal`] without a key.
    pub(crate) fn hash(&self, token: &str) -> Result<Vec<u8>> {
        Ok(self.sign(token)?.as_ref().to_vec())
    }

    /// Returns the token that follows this one. No token begins like the text that is signed here, so a
    /// stored hash is never a successor.
    ///
    /// # Errors
    /// [`Error::Internal`] without a key.
    pub(crate) fn successor(&self, token: &str) -> Result<String> {
        Ok(BASE64_URL_SAFE_NO_PAD.encode(self.sign(&format!("successor of {token}"))?))
    }

    /// Returns the keys of a store in this process. They are the same in every process with this secret, so that URLs stay
    /// valid when a server is replaced.
    ///
    /// # Errors
    /// [`Error::Internal`] without a key.
    pub fn store_keys(&self) -> Result<Keys> {
        let of = |what: &str| -> Result<String> {
            Ok(BASE64_URL_SAFE_NO_PAD.encode(self.sign(&format!("{what} of the object store"))?))
        };
        Ok(Keys { id: of("id")?, secret: of("secret")?.into() })
    }

    fn sign(&self, text: &str) -> Result<hmac::Tag> {
        let key = self.0.as_ref().ok_or_else(|| no_key("REFRESH_SECRET"))?;
        Ok(hmac::sign(key, text.as_bytes()))
    }
}

/// Returns `N` random bytes from the operating system's generator, in unpadded base64url.
pub(crate) fn random_token<const N: usize>() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; N]>())
}
