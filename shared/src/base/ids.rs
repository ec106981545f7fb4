//! The ids that several folders need.

use mysql_async::Value;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Result;
use crate::base::fields::WholeNumber;
use crate::base::text::{line, text_type};

text_type!(
    /// A user's public id: 1 to 64 of `[A-Za-z0-9._-]`, beginning with a letter or digit, not `me`.
    UserId, id, |id| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let well_formed = id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed) && id.len() <= 64;
        match id.as_str() {
            "me" => Err("must not be `me`, which stands for yourself".to_owned()),
            _ if well_formed => Ok(id),
            _ => Err("must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit".to_owned()),
        }
    }
);

/// A room's id; `roomId`, `chatId` and `groupId` are the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomId(pub u64);

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WholeNumber::deserialize(deserializer).map(|WholeNumber(id)| Self(id))
    }
}

impl From<RoomId> for Value {
    fn from(id: RoomId) -> Self {
        id.0.into()
    }
}

text_type!(
    /// API Gateway's id of a socket.
    ConnectionId, |id| line(id, 1..=64)
);

impl ConnectionId {
    /// The id as API Gateway gave it in an event.
    pub fn new(id: String) -> Self {
        Self(id)
    }
}

text_type!(
    /// An upload's id: 128 random bits.
    UploadId, |id| match line(id, 1..=64)? {
        id if id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') => Ok(id),
        _ => Err("must be an uploadId".to_owned()),
    }
);
