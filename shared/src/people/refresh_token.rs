//! Refresh tokens as clients send and keep them (`docs/contract.md`, "Sessions and tokens").

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};

use crate::Result;
use crate::base::fields::{self, Request};
use crate::base::text::line;

/// How a client keeps its refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// The client keeps it: answers have it in their bodies.
    #[default]
    Token,
    /// The browser keeps it in a cookie, which its pages cannot read.
    Cookie,
}

impl<'de> Deserialize<'de> for Keeping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match fields::string(deserializer)?.as_str() {
            "token" => Ok(Self::Token),
            "cookie" => Ok(Self::Cookie),
            _ => Err(de::Error::custom("must be `token` or `cookie`")),
        }
    }
}

/// A request for fresh tokens.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// The refresh token, unless it comes in a cookie.
    pub refresh_token: Option<RefreshToken>,
}

impl Request for Refresh {}

/// A refresh token as a client sent it: 1 to 1,024 characters. A wrong one matches nothing.
#[derive(Clone, Debug)]
pub struct RefreshToken(SecretString);

impl<'de> Deserialize<'de> for RefreshToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(fields::string(deserializer)?).map_err(de::Error::custom)
    }
}

impl RefreshToken {
    /// Checks the form of a token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(token: String) -> Result<Self, String> {
        line(token, 1..=1024).map(|token| Self(token.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}
