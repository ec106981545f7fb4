//! Presence: the people around a user are notified when the user's first socket opens and when the last one has closed
//! (`docs/contract.md`, "Presence"), unless one of the two hides it. A row of `presence` means that they have been
//! notified of the first.

use mysql_async::params;

use crate::Result;
use crate::app::App;
use crate::base::ids::{ConnectionId, UserId};
use crate::base::jobs::Queue;
use crate::base::socket::Socket;
use crate::events::event::Event;
use crate::people::presence::people_around;
use crate::sockets::connections::Closed;
use crate::sockets::tell::Notice;

/// How much longer than the hold the end of a socket may take, in seconds. One that takes longer was lost. It
/// includes the minute by which `connections::end` backdates the expiry of a socket.
const SLACK_SECONDS: u64 = 70;

/// Selects the sockets of those around a user who see presence. `AND` may follow.
macro_rules! audience {
    () => {
        concat!(
            "SELECT c.connection_id, c.protocol FROM (",
            people_around!(),
            ") a STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = a.other_id
             STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = a.other_id
             WHERE u.shows_presence AND c.expires_at > UTC_TIMESTAMP(3)"
        )
    };
}

/// A condition of [`audience`]: the user does not hide.
const SHOWS: &str = " AND (SELECT me.shows_presence FROM users me WHERE me.user_id = :user_id)";

/// Notifies those around a user that the user is online, unless they know it from another socket. Call it when
/// the socket's row is stored.
///
/// A second socket notifies nobody, and neither does a reconnect during the hold of the last `$disconnect`.
/// In both cases `connections` has another row. If there is none, a `$disconnect` has died or never came, and
/// they may have seen the user offline in the meantime: they are notified again.
///
/// # Errors
/// The database's.
pub async fn appear(app: &App, user_id: &UserId, connection_id: &ConnectionId) -> Result<Notice> {
    let shown = app.db.execute("INSERT IGNORE INTO presence (user_id) VALUES (?)", (user_id,)).await?;
    // Most sockets are not a user's first, and finding the people around a user costs the database more than all the
    // rest of a handshake.
    if shown.affected_rows == 0 && has_other_sockets(app, user_id, connection_id).await? {
        return Ok(Notice::default());
    }
    let sockets = app.db.rows(&format!("{}{SHOWS}", audience!()), params! { user_id }).await?;
    Ok(notice(user_id, true, sockets))
}

/// Whether the user has another socket, or had one a moment ago whose end is still held back.
async fn has_other_sockets(app: &App, user_id: &UserId, connection_id: &ConnectionId) -> Result<bool> {
    let known_for = app.config.presence_hold.as_micros() as u64 + SLACK_SECONDS * 1_000_000;
    let other: Option<u8> = app
        .db
        .first(
            "SELECT 1 FROM connections FORCE INDEX (connections_user)
             WHERE user_id = ? AND connection_id <> ? AND expires_at > UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
             LIMIT 1",
            (user_id, connection_id, known_for),
        )
        .await?;
    Ok(other.is_some())
}

/// Leaves a user's closed socket to the function `presence`, whose queue holds it back for the time in which
/// a reconnect is silent. Returns false when nothing has to wait, since nobody would be notified, or when the
/// queue did not take it: then the caller goes on with [`disappear`] at once.
pub async fn hold(app: &App, closed: &Closed) -> bool {
    if closed.is_online || !closed.has_audience {
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

/// Handles a user's closed socket after the time in which a reconnect is silent: remembers when the user was here, and
/// notifies the people around them if there was no reconnect. A socket that closed later within that time has a hold of
/// its own, so an unstable connection stays silent.
///
/// The call that deletes the row of `presence` sends the notice, so when the last two sockets close at once,
/// or a job is done twice, only one call does. Nobody is notified when the user has appeared again
/// since: the two pushes could arrive in the wrong order.
///
/// # Errors
/// The database's.
pub async fn disappear(app: &App, closed: &Closed) -> Result<Notice> {
    if closed.is_online {
        return Ok(Notice::default());
    }
    // Before the row goes, so that a job that is done again after a failure writes it too. What a user does while they
    // hide is not shown later either.
    let seen = "UPDATE users SET last_seen_at = GREATEST(COALESCE(last_seen_at, ?), ?)
                WHERE user_id = ? AND shows_presence";
    app.db.execute(seen, (closed.closed_at, closed.closed_at, &closed.user_id)).await?;
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
    if hidden.affected_rows == 0 || !closed.has_audience {
        return Ok(Notice::default());
    }
    let sockets = app
        .db
        .rows(
            &format!(
                "{}{SHOWS} AND NOT EXISTS (SELECT 1 FROM presence WHERE user_id = :user_id)",
                audience!()
            ),
            params! { "user_id" => &closed.user_id },
        )
        .await?;
    Ok(notice(&closed.user_id, false, sockets))
}

/// Tells those around a user who is online that the user shows their presence from now on, or hides it. Those around may
/// still see a user online whose last socket has just closed. Its row is there until they are told, so it also counts for a
/// user who hides.
///
/// # Errors
/// The database's.
pub async fn shown_or_hidden(app: &App, user_id: &UserId, shows: bool) -> Result<Notice> {
    let sockets = app
        .db
        .rows(
            &format!(
                "{} AND EXISTS (SELECT 1 FROM connections o FORCE INDEX (connections_user)
                                WHERE o.user_id = :user_id
                                  AND (NOT :shows OR o.expires_at > UTC_TIMESTAMP(3)))",
                audience!()
            ),
            params! { user_id, shows },
        )
        .await?;
    Ok(notice(user_id, shows, sockets))
}

fn notice(user_id: &UserId, online: bool, sockets: Vec<Socket>) -> Notice {
    let event = Event::Presence { user_id: user_id.as_str(), online };
    Notice::new(&event, sockets)
}
