//! The user behind a request, and the roles in an organization.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use strum::{EnumString, IntoStaticStr};

use crate::base::db::text_column;
use crate::base::ids::UserId;
use crate::{Error, Result};

/// A role in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// May do everything in the organization.
    Admin,
    /// May create channels.
    Moderator,
    /// The role that every user starts with.
    User,
}

text_column!(Role);

impl Role {
    /// The roles that may create channels, and announce the channels of others.
    pub(crate) const CHANNEL_MAKERS: [Self; 2] = [Self::Admin, Self::Moderator];

    /// Whether the role may create channels, and announce the channels of others.
    pub fn makes_channels(self) -> bool {
        Self::CHANNEL_MAKERS.contains(&self)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)?.as_str() {
            Some("admin") => Ok(Self::Admin),
            Some("moderator") => Ok(Self::Moderator),
            Some("user") => Ok(Self::User),
            _ => Err(de::Error::custom("must be admin, moderator or user")),
        }
    }
}

/// The user behind a request, as the database knew them when the request began.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's public id.
    pub user_id: UserId,
    /// The user's organization.
    pub organization_id: u64,
    /// The user's display name.
    pub name: String,
    /// The user's role in the organization.
    pub role: Role,
    /// Whether the user is prime.
    pub prime: bool,
    /// The session that authenticated the request.
    pub session_id: String,
}

impl User {
    /// Checks the `userId` that a client may give for the acting user (`docs/contract.md`, "The acting
    /// user").
    ///
    /// # Errors
    /// [`Error::IdentityMismatch`] when it is somebody else's.
    pub fn must_be(&self, given: Option<&UserId>) -> Result<()> {
        match given {
            Some(given) if *given != self.user_id => Err(Error::IdentityMismatch),
            _ => Ok(()),
        }
    }
}
