//! Presence: who is told when a user comes and goes, and who sees it (`docs/contract.md`, "Presence").

use chrono::NaiveDateTime;
use mysql_async::prelude::FromRow;
use mysql_async::{Params, params};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::base::db::Db;
use crate::base::fields::{self, Request};
use crate::base::ids::UserId;
use crate::base::socket::Socket;
use crate::base::time;
use crate::base::user::User;
use crate::error::Thing;
use crate::{Error, Result};

/// Selects the people around a user as `other_id`: the friends, and those who share a room of at most 50 members, as
/// the other one of a direct chat does. `:user_id` is the user.
///
/// However much a user has, it reads the newest 1,000 rooms and 10,000 of their members, and finds 1,000 people, so that
/// nobody can cause more pushes by coming and going.
macro_rules! people_around {
    () => {
        concat!(
            "(SELECT f.friend_id AS other_id FROM (",
            $crate::people::friends::friends!(),
            ") f LIMIT 1000)
             UNION
             (SELECT o.user_id
              FROM (SELECT room_id FROM room_members FORCE INDEX (room_members_user)
                    WHERE user_id = :user_id ORDER BY room_id DESC LIMIT 1000) m
              STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY)
                ON r.id = m.room_id AND r.member_count <= 50 AND r.organization_id IS NOT NULL
              STRAIGHT_JOIN room_members o FORCE INDEX (PRIMARY) ON o.room_id = r.id
              WHERE o.user_id <> :user_id LIMIT 10000)
             LIMIT 1000"
        )
    };
}
pub(crate) use people_around;

/// Selects whether the asker sees the presence of the user `u`: their own, and that of others unless one of the two
/// hides it. `:asker` is the asker.
macro_rules! sees_presence {
    () => {
        "(u.user_id = :asker
          OR (u.shows_presence AND (SELECT me.shows_presence FROM users me WHERE me.user_id = :asker)))"
    };
}
pub(crate) use sees_presence;

/// Returns the sockets of a user and of the people around them.
///
/// # Errors
/// The database's errors.
pub(crate) async fn sockets_around(db: &Db, user_id: &UserId) -> Result<Vec<Socket>> {
    db.rows(
        concat!(
            "SELECT c.connection_id, c.protocol FROM (SELECT user_id AS other_id FROM users WHERE user_id = :user_id
             UNION ALL SELECT around.other_id FROM (",
            people_around!(),
            ") around) a STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = a.other_id
             WHERE c.expires_at > UTC_TIMESTAMP(3)"
        ),
        params! { user_id },
    )
    .await
}

/// The part of a profile that is the same for everybody, for the push that tells of a change.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Shown {
    pub user_id: UserId,
    pub username: Option<String>,
    pub name: String,
    pub avatar_url: Option<String>,
}

/// Returns what everybody sees of a user.
///
/// # Errors
/// [`Error::NotFound`] when there is no such user.
pub(crate) async fn shown(db: &Db, user_id: &UserId) -> Result<Shown> {
    let sql = "SELECT user_id, username, name, CONCAT('/avatars/', avatar_key) AS avatar_url FROM users
               WHERE user_id = ?";
    let row = db.first(sql, (user_id,)).await?;
    row.ok_or(Error::NotFound(Thing::User))
}

/// A request for the presence of some users.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "it is the contract's field of its name")]
pub struct PresenceRequest {
    pub user_ids: Asked,
}

impl Request for PresenceRequest {}

/// The users whose presence is asked for: 1 to 100 userIds in one text, separated by commas.
#[derive(Debug)]
pub struct Asked(Vec<UserId>);

impl Asked {
    const MOST: usize = 100;
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = fields::string(deserializer)?;
        let user_ids =
            text.split(',').take(Self::MOST + 1).map(|user_id| UserId::try_from(user_id.trim().to_owned()));
        match user_ids.collect::<Result<Vec<_>, _>>() {
            Ok(user_ids) if user_ids.len() <= Self::MOST => Ok(Self(user_ids)),
            _ => Err(de::Error::custom(format!("must be 1 to {} userIds, separated by commas", Self::MOST))),
        }
    }
}

/// Whether a user is here, as the asker sees it.
#[derive(Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Presence {
    pub user_id: UserId,
    pub online: bool,
    /// When the user's last socket closed. `None` also for an asker who may not see it.
    #[serde(serialize_with = "time::serialize_optional")]
    pub last_seen_at: Option<NaiveDateTime>,
}

/// Returns the presence of these users of the organization, ordered by userId. The time when they were here is only for
/// the people around them.
///
/// # Errors
/// The database's errors.
pub async fn list(db: &Db, asker: &User, Asked(user_ids): &Asked) -> Result<Vec<Presence>> {
    let names: Vec<String> = (0..user_ids.len()).map(|place| format!(":asked{place}")).collect();
    let sql = format!(
        concat!(
            "SELECT u.user_id,
                    ",
            sees_presence!(),
            " AND EXISTS (SELECT 1 FROM connections c FORCE INDEX (connections_user)
                          WHERE c.user_id = u.user_id AND c.expires_at > UTC_TIMESTAMP(3)) AS online,
                    IF((u.user_id = :asker OR a.other_id IS NOT NULL) AND ",
            sees_presence!(),
            ", u.last_seen_at, NULL) AS last_seen_at
             FROM users u FORCE INDEX (PRIMARY)
             LEFT JOIN (",
            people_around!(),
            ") a ON a.other_id = u.user_id
             WHERE u.user_id IN ({}) AND u.organization_id = :organization_id
             ORDER BY u.user_id"
        ),
        names.join(", ")
    );
    let mut named = params! {
        "asker" => &asker.user_id,
        "user_id" => &asker.user_id,
        "organization_id" => asker.organization_id,
    };
    if let Params::Named(named) = &mut named {
        for (place, user_id) in user_ids.iter().enumerate() {
            named.insert(format!("asked{place}").into_bytes(), user_id.into());
        }
    }
    db.rows(&sql, named).await
}
