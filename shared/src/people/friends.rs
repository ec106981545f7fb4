//! Friends: one user asks and the other answers. A single row for the two is the request and, once
//! accepted, the friendship (`docs/contract.md`, "Friends").

use chrono::{NaiveDateTime, TimeDelta};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Row, params};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::app::App;
use crate::base::db::{Db, text_column};
use crate::base::fields::{Fields, Missing, Read, Request};
use crate::base::ids::{UserId, number_type, pair};
use crate::base::page::{Place, Slice, Sliced};
use crate::base::rate_limit::{self, Limited};
use crate::base::source::Source;
use crate::base::time;
use crate::base::transaction::{Isolation, Transaction};
use crate::base::user::User;
use crate::config::Limits;
use crate::error::Thing;
use crate::people::sessions;
use crate::{Error, Result};

/// Selects the ids of a user's friends as `friend_id`; `:user_id` is the user.
macro_rules! friends {
    () => {
        "SELECT to_id AS friend_id FROM friend_requests FORCE INDEX (friend_requests_from)
         WHERE from_id = :user_id AND status = 'accepted'
         UNION ALL SELECT from_id FROM friend_requests FORCE INDEX (friend_requests_to)
         WHERE to_id = :user_id AND status = 'accepted'"
    };
}
pub(crate) use friends;

/// Selects whether two users are friends; `$one` and `$other` are SQL for their `userId`s.
macro_rules! are_friends {
    ($one:literal, $other:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM friend_requests f FORCE INDEX (friend_requests_pair)
                     WHERE f.lesser_id = LEAST(",
            $one,
            ", ",
            $other,
            ") AND f.greater_id = GREATEST(",
            $one,
            ", ",
            $other,
            ") AND f.status = 'accepted')"
        )
    };
}
pub(crate) use are_friends;

/// The most requests in one part of a list.
pub(crate) const MOST: u64 = 1000;
/// How long a rejected user waits before they may ask again.
const REST: TimeDelta = TimeDelta::days(7);

const COLUMNS: &str = "id, from_id, to_id, status, created_at";

/// The status of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FriendRequestStatus {
    /// The request is waiting for an answer.
    Pending,
    /// The two are friends.
    Accepted,
    /// The two are not friends. The one who rejected may ask at once, the other one after [`REST`].
    Rejected,
}

text_column!(FriendRequestStatus);

/// A friend request as clients see it.
#[derive(Clone, Debug, Serialize, FromRow)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct FriendRequest {
    pub id: FriendRequestId,
    #[mysql(rename = "from_id")]
    pub from: UserId,
    #[mysql(rename = "to_id")]
    pub to: UserId,
    pub status: FriendRequestStatus,
    #[serde(serialize_with = "time::serialize")]
    pub created_at: NaiveDateTime,
}

/// The user who is asked to be a friend.
#[derive(Debug)]
pub struct NewFriendRequest {
    /// The user who is asked.
    pub user_id: UserId,
    /// The field that named them, one of the three that may.
    field: &'static str,
}

impl Read for NewFriendRequest {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        const NAMES: [&str; 3] = ["userId", "friendUserId", "receiverId"];
        let given = NAMES.map(|name| fields.optional::<UserId>(name).map(|given| (name, given)));
        let mut asked: Option<Self> = None;
        for named in given {
            match (named?, &asked) {
                ((field, Some(user_id)), None) => asked = Some(Self { user_id, field }),
                ((field, Some(other)), Some(Self { user_id, field: first })) if other != *user_id => {
                    fields.wrong(field, format!("must be the same as {first}, or left out"));
                }
                _ => {}
            }
        }
        asked.ok_or_else(|| {
            fields.wrong("userId", "is required");
            Missing
        })
    }
}

/// Asks another user to be friends. If that user has already asked, this accepts their request. Both users'
/// rows are locked, so when two users ask each other at the same instant, one of them comes second. After a
/// rejection a new request replaces the old one: at once by the one who rejected, and after [`REST`] by the other.
///
/// # Errors
/// [`Error::InvalidRequest`] for a request to oneself, [`Error::NotFound`], [`Error::FriendRequestExists`],
/// [`Error::FriendRequestRejected`], [`Error::AlreadyFriends`].
pub async fn ask(db: &Db, user: &User, asked: &NewFriendRequest) -> Result<FriendRequest> {
    if asked.user_id == user.user_id {
        return Err(Error::invalid(asked.field, "must be somebody else's: this is your own"));
    }
    // Takes no gap locks, so that many pairs may ask at once. The locks on the users' rows serialize each
    // pair.
    db.transaction_with(Isolation::ReadCommitted, (user, &asked.user_id), request).await
}

async fn request(transaction: &mut Transaction, (user, other): (&User, &UserId)) -> Result<FriendRequest> {
    let (lesser, greater) = pair(&user.user_id, other);
    // Uses the primary key, since another key would lock the rows in another order.
    let here: Vec<UserId> = transaction
        .exec(
            "SELECT user_id FROM users FORCE INDEX (PRIMARY)
             WHERE user_id IN (?, ?) AND organization_id = ? ORDER BY user_id FOR UPDATE",
            (lesser, greater, user.organization_id),
        )
        .await?;
    if !here.contains(other) {
        return Err(Error::NotFound(Thing::User));
    }
    sessions::still_signed_in(transaction, user, None).await?;
    let (before, decided_at) = between(transaction, user, other).await?.unzip();
    match before {
        Some(request) if request.status == FriendRequestStatus::Accepted => {
            return Err(Error::AlreadyFriends);
        }
        Some(request) if request.status == FriendRequestStatus::Pending && request.to == user.user_id => {
            return set(transaction, request, FriendRequestStatus::Accepted).await;
        }
        Some(request) if request.status == FriendRequestStatus::Pending => {
            return Err(Error::FriendRequestExists);
        }
        Some(rejected) => {
            let rest = decided_at.map_or(TimeDelta::zero(), |decided_at| decided_at + REST - time::now());
            if rejected.from == user.user_id && rest > TimeDelta::zero() {
                let retry_after = rest.num_milliseconds().unsigned_abs().div_ceil(1000);
                return Err(Error::FriendRequestRejected { retry_after });
            }
            transaction.exec_drop("DELETE FROM friend_requests WHERE id = ?", (rejected.id,)).await?;
        }
        None => {}
    }
    let created_at = time::now();
    transaction
        .exec_drop(
            "INSERT INTO friend_requests (from_id, to_id, status, created_at) VALUES (?, ?, 'pending', ?)",
            (&user.user_id, other, created_at),
        )
        .await?;
    let id = transaction.last_insert_id().map(FriendRequestId);
    let id = id.ok_or_else(|| Error::internal("the request has no id"))?;
    Ok(FriendRequest {
        id,
        from: user.user_id.clone(),
        to: other.clone(),
        status: FriendRequestStatus::Pending,
        created_at,
    })
}

/// Locks the request between two users, whoever asked, and returns it with the time of its answer.
async fn between(
    transaction: &mut Transaction,
    user: &User,
    other: &UserId,
) -> Result<Option<(FriendRequest, NaiveDateTime)>> {
    let (lesser, greater) = pair(&user.user_id, other);
    let row: Option<Row> = transaction
        .exec_first(
            format!(
                "SELECT {COLUMNS}, COALESCE(answered_at, created_at) AS decided_at FROM friend_requests
                 WHERE lesser_id = ? AND greater_id = ? FOR UPDATE"
            ),
            (lesser, greater),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let decided_at = row.get("decided_at").ok_or_else(|| Error::internal("a request without its time"))?;
    Ok(Some((FriendRequest::from_row_opt(row).map_err(Error::internal)?, decided_at)))
}

async fn set(
    transaction: &mut Transaction,
    request: FriendRequest,
    status: FriendRequestStatus,
) -> Result<FriendRequest> {
    transaction
        .exec_drop(
            "UPDATE friend_requests SET status = ?, answered_at = ? WHERE id = ?",
            (status, time::now(), request.id),
        )
        .await?;
    Ok(FriendRequest { status, ..request })
}

number_type!(
    /// A friend request's id.
    FriendRequestId
);

/// An answer to a request.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct FriendRequestAnswer {
    /// The request's new status.
    pub status: AnswerStatus,
}

impl Request for FriendRequestAnswer {}

/// The status that an answer gives to a request.
#[derive(Clone, Copy, Debug)]
pub struct AnswerStatus(FriendRequestStatus);

impl<'de> Deserialize<'de> for AnswerStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match crate::base::fields::string(deserializer)?.as_str() {
            "accepted" => Ok(Self(FriendRequestStatus::Accepted)),
            "rejected" => Ok(Self(FriendRequestStatus::Rejected)),
            _ => Err(D::Error::custom("must be `accepted` or `rejected`")),
        }
    }
}

/// A request, after it was answered.
#[derive(Debug)]
pub struct Answered {
    /// The request as it is now.
    pub request: FriendRequest,
    /// Whether the answer changed the request; the same answer again does not.
    pub changed: bool,
}

/// Answers a request that the user received. A rejection can still be changed to an acceptance; [`remove`]
/// ends a friendship.
///
/// # Errors
/// [`Error::NotFound`], also for the user who sent the request; [`Error::AlreadyFriends`].
pub async fn answer(
    db: &Db,
    user: &User,
    id: FriendRequestId,
    answer: FriendRequestAnswer,
) -> Result<Answered> {
    db.transaction((user, id, answer.status), decide).await
}

async fn decide(
    transaction: &mut Transaction,
    (user, id, AnswerStatus(status)): (&User, FriendRequestId, AnswerStatus),
) -> Result<Answered> {
    let row: Option<FriendRequest> = transaction
        .exec_first(
            format!("SELECT {COLUMNS} FROM friend_requests WHERE id = ? AND to_id = ? FOR UPDATE"),
            (id, &user.user_id),
        )
        .await?;
    let request = row.ok_or(Error::NotFound(Thing::FriendRequest))?;
    sessions::still_signed_in(transaction, user, None).await?;
    if request.status == status {
        return Ok(Answered { request, changed: false });
    }
    if request.status == FriendRequestStatus::Accepted {
        return Err(Error::AlreadyFriends);
    }
    Ok(Answered { request: set(transaction, request, status).await?, changed: true })
}

/// Returns the requests that the user sent and received, newest first.
///
/// # Errors
/// The database's errors.
pub async fn requests(
    source: &mut Source<'_>,
    user: &User,
    slice: &Slice<{ MOST }>,
) -> Result<Sliced<FriendRequest>> {
    let rows = source
        .rows(
            &format!(
                "(SELECT {COLUMNS} FROM friend_requests FORCE INDEX (friend_requests_from)
                  WHERE from_id = :user_id AND id < :after ORDER BY id DESC LIMIT :rows)
                 UNION ALL
                 (SELECT {COLUMNS} FROM friend_requests FORCE INDEX (friend_requests_to)
                  WHERE to_id = :user_id AND id < :after ORDER BY id DESC LIMIT :rows)
                 ORDER BY id DESC LIMIT :rows"
            ),
            params! {
                "user_id" => &user.user_id,
                "after" => slice.after.as_ref().map_or(u64::MAX, |place| place.number),
                "rows" => slice.rows(),
            },
        )
        .await?;
    Ok(slice.of(rows, |request: &FriendRequest| Place::new(request.id.0, "")))
}

/// Returns the newest of the requests that wait for an answer, from and to the user. Only the user's newest [`MOST`]
/// requests are looked at.
///
/// # Errors
/// The database's errors.
pub(crate) async fn pending(source: &mut Source<'_>, user: &User, most: usize) -> Result<Vec<FriendRequest>> {
    let newest = requests(source, user, &Slice { after: None, limit: MOST }).await?;
    let is_pending = |request: &FriendRequest| request.status == FriendRequestStatus::Pending;
    Ok(newest.rows.into_iter().filter(is_pending).take(most).collect())
}

/// Takes back a request that the user sent and that waits for its answer. Returns it.
///
/// # Errors
/// [`Error::NotFound`] when there is none, and [`Error::RateLimited`] after too many changes that others are told of.
pub async fn withdraw(app: &App, user: &User, id: FriendRequestId) -> Result<FriendRequest> {
    app.db.transaction((user, id, &app.config.limits), take_back).await
}

async fn take_back(
    transaction: &mut Transaction,
    (user, id, limits): (&User, FriendRequestId, &Limits),
) -> Result<FriendRequest> {
    let row: Option<FriendRequest> = transaction
        .exec_first(
            format!(
                "SELECT {COLUMNS} FROM friend_requests WHERE id = ? AND from_id = ? AND status = 'pending' FOR UPDATE"
            ),
            (id, &user.user_id),
        )
        .await?;
    let request = row.ok_or(Error::NotFound(Thing::FriendRequest))?;
    sessions::still_signed_in(transaction, user, None).await?;
    rate_limit::count_done(transaction, limits, Limited::Shown(&user.user_id), 1).await?;
    transaction.exec_drop("DELETE FROM friend_requests WHERE id = ?", (id,)).await?;
    Ok(request)
}

/// Ends a friendship, which either of the two may do, or takes back a request that the user sent and that waits for its
/// answer. Returns such a request.
///
/// # Errors
/// [`Error::NotFound`] when there is neither, and that of [`withdraw`] for a request.
pub async fn remove(app: &App, user: &User, friend: &UserId) -> Result<Option<FriendRequest>> {
    app.db.transaction((user, friend, &app.config.limits), end).await
}

async fn end(
    transaction: &mut Transaction,
    (user, friend, limits): (&User, &UserId, &Limits),
) -> Result<Option<FriendRequest>> {
    let (request, _) = between(transaction, user, friend).await?.ok_or(Error::NotFound(Thing::Friend))?;
    let is_own = request.status == FriendRequestStatus::Pending && request.from == user.user_id;
    if !is_own && request.status != FriendRequestStatus::Accepted {
        return Err(Error::NotFound(Thing::Friend));
    }
    sessions::still_signed_in(transaction, user, None).await?;
    if is_own {
        rate_limit::count_done(transaction, limits, Limited::Shown(&user.user_id), 1).await?;
    }
    transaction.exec_drop("DELETE FROM friend_requests WHERE id = ?", (request.id,)).await?;
    Ok(is_own.then_some(request))
}
