//! Presence: a user's friends are notified when the user's first socket opens and when the last one has
//! closed (`docs/contract.md`, "Typing, presence and read positions"). A row of `presence` means that they
//! have been notified of the first.

use mysql_async::params;

use crate::Result;
use crate::app::App;
use crate::base::ids::{ConnectionId, UserId};
use crate::base::jobs::Queue;
use crate::base::user::User;
use crate::events::event::Event;
use crate::people::friends::friends;
use crate::sockets::connections::Closed;
use crate::sockets::tell::Notice;

/// How much longer than the hold the end of a socket may take, in seconds. One that takes longer was lost. It
/// includes the minute by which `connections::end` backdates the expiry of a socket.
const SLACK_SECONDS: u64 = 70;

/// Notifies a user's friends that the user is online, unless they know it from another socket. Call it when
/// the socket's row is stored.
///
/// A second socket notifies nobody, and neither does a reconnect during the hold of the last `$disconnect`.
/// In both cases `connections` has another row. If there is none, a `$disconnect` has died or never came, and
/// the friends may have seen the user offline in the meantime: they are notified again.
///
/// # Errors
/// The database's.
pub async fn appear(app: &App, user: &User, connection_id: &ConnectionId) -> Result<Notice> {
    let shown = app.db.execute("INSERT IGNORE INTO presence (user_id) VALUES (?)", (&user.user_id,)).await?;
    let known_for = app.config.presence_hold.as_micros() as u64 + SLACK_SECONDS * 1_000_000;
    let sockets = app
        .db
        .rows(
            concat!(
                "SELECT c.connection_id FROM (",
                friends!(),
                ") f STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = f.friend_id
                 WHERE c.expires_at > UTC_TIMESTAMP(3)
                   AND (:is_new OR NOT EXISTS (
                            SELECT 1 FROM connections o FORCE INDEX (connections_user)
                            WHERE o.user_id = :user_id AND o.connection_id <> :connection_id
                              AND o.expires_at > UTC_TIMESTAMP(3) - INTERVAL :known_for MICROSECOND))"
            ),
            params! {
                "user_id" => &user.user_id,
                "is_new" => shown.affected_rows == 1,
                connection_id,
                known_for,
            },
        )
        .await?;
    Ok(notice(&user.user_id, true, sockets))
}

/// Leaves a user's closed socket to the function `presence`, whose queue holds it back for the time in which
/// a reconnect is silent. Returns false when nothing has to wait, since nobody would be notified, or when the
/// queue did not take it: then the caller goes on with [`disappear`] at once.
pub async fn hold(app: &App, closed: &Closed) -> bool {
    if closed.is_online || !closed.has_friends {
        return false;
    }
    match serde_json::to_string(closed) {
        Ok(job) => app.jobs.send(Queue::Presence, vec![job]).await.is_empty(),
        Err(error) => {
            tracing::error!(%error, "a closed socket cannot be written as JSON");
            false
        }
    }
}

/// Handles a user's closed socket after the time in which a reconnect is silent: notifies the user's friends
/// if there was none. A socket that closed later within that time has a hold of its own, so an unstable
/// connection stays silent.
///
/// The call that deletes the row of `presence` sends the notice, so when the last two sockets close at once,
/// or a job is done twice, only one call does. The friends are not notified when the user has appeared again
/// since: the two pushes could arrive in the wrong order.
///
/// # Errors
/// The database's.
pub async fn disappear(app: &App, closed: &Closed) -> Result<Notice> {
    if closed.is_online {
        return Ok(Notice::default());
    }
    let hidden = app
        .db
        .execute(
            "DELETE FROM presence WHERE user_id = :user_id AND NOT EXISTS (
                 SELECT 1 FROM connections c FORCE INDEX (connections_user)
                 WHERE c.user_id = :user_id AND c.connection_id <> :connection_id
                   AND (c.expires_at, c.connection_id) > (:closed_at, :connection_id)
                   AND c.expires_at > UTC_TIMESTAMP(3) - INTERVAL :hold MICROSECOND)",
            params! {
                "user_id" => &closed.user_id,
                "connection_id" => &closed.connection_id,
                "closed_at" => closed.closed_at,
                "hold" => app.config.presence_hold.as_micros() as u64,
            },
        )
        .await?;
    if hidden.affected_rows == 0 || !closed.has_friends {
        return Ok(Notice::default());
    }
    let sockets = app
        .db
        .rows(
            concat!(
                "SELECT c.connection_id FROM (",
                friends!(),
                ") f STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = f.friend_id
                 WHERE c.expires_at > UTC_TIMESTAMP(3)
                   AND NOT EXISTS (SELECT 1 FROM presence WHERE user_id = :user_id)"
            ),
            params! { "user_id" => &closed.user_id },
        )
        .await?;
    Ok(notice(&closed.user_id, false, sockets))
}

fn notice(user_id: &UserId, online: bool, sockets: Vec<ConnectionId>) -> Notice {
    let event = Event::Presence { user_id: user_id.as_str(), online };
    Notice::new(&event, sockets)
}
