//! The ids that more than one folder needs.

use crate::base::text::{line, text_type};

text_type!(
    /// A user's public id: 1 to 64 of `[A-Za-z0-9._-]`. It begins with a letter or digit and is not `me`.
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

/// Returns two users in the order of the columns `lesser_id` and `greater_id`, whichever is named first.
/// Rust compares them byte by byte, and so do both servers.
pub(crate) fn pair<'a>(one: &'a UserId, other: &'a UserId) -> (&'a UserId, &'a UserId) {
    if one < other { (one, other) } else { (other, one) }
}

/// Declares the type of an id that the database counts up. It reads from a JSON integer, or from a string
/// that holds one.
macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let number = $crate::base::fields::WholeNumber::deserialize(deserializer)?;
                Ok(Self(number.0))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl From<$name> for mysql_async::Value {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl TryFrom<mysql_async::Value> for $name {
            type Error = mysql_async::FromValueError;

            fn try_from(value: mysql_async::Value) -> std::result::Result<Self, Self::Error> {
                mysql_async::from_value_opt(value).map(Self)
            }
        }

        impl mysql_async::prelude::FromValue for $name {
            type Intermediate = Self;
        }
    };
}
pub(crate) use number_type;

number_type!(
    /// A room's id; `roomId`, `chatId` and `groupId` are the same numbers.
    RoomId
);

text_type!(
    /// API Gateway's id for a socket.
    ConnectionId, |id| line(id, 1..=64)
);

impl ConnectionId {
    /// Wraps an id as API Gateway gave it in an event.
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
