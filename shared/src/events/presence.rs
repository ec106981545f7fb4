//! Presence: a user's friends are notified when the user's first socket opens and when the last one has
//! closed (`docs/contract.md`, "Typing, presence and read positions"). A row of `presence` means that they
//! have been notified of the first.

use std::time::Duration;

use mysql_async::params;

use crate::Result;
use crate::app::App;
use crate::base::ids::{ConnectionId, UserId};
use crate::base::user::User;
use crate::events::event::Event;
use crate::people::friends::friends;
use crate::sockets::connections::Closed;
use crate::sockets::tell::Notice;

/// How much longer than the hold a `$disconnect` may take, in seconds. One that takes longer has died. It
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
                ") f JOIN connections c ON c.user_id = f.friend_id
                 WHERE c.expires_at > UTC_TIMESTAMP(3)
                   AND (:is_new OR NOT EXISTS (
                            SELECT 1 FROM connections o
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

/// Handles a user's closed socket. If it was the last one, this waits for a reconnect, and notifies the
/// user's friends if there was none. Users without friends are not held back. A socket that opened and closed
/// in the meantime has a hold of its own, so an unstable connection stays silent.
///
/// The call that deletes the row of `presence` sends the notice, so when the last two sockets close at once,
/// only one call does. The friends are not notified when the user has appeared again since: the two pushes
/// could arrive in the wrong order.
///
/// # Errors
/// The database's.
pub async fn disappear(app: &App, connection_id: &ConnectionId, closed: &Closed) -> Result<Notice> {
    if closed.is_online {
        return Ok(Notice::default());
    }
    let held = match closed.has_friends {
        true => app.pause(app.config.presence_hold).await,
        false => Duration::ZERO,
    };
    let hidden = app
        .db
        .execute(
            "DELETE FROM presence WHERE user_id = :user_id AND NOT EXISTS (
                 SELECT 1 FROM connections c
                 WHERE c.user_id = :user_id AND c.connection_id <> :connection_id
                   AND c.expires_at > UTC_TIMESTAMP(3) - INTERVAL :held MICROSECOND)",
            params! { "user_id" => &closed.user_id, connection_id, "held" => held.as_micros() as u64 },
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
                ") f JOIN connections c ON c.user_id = f.friend_id
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

impl App {
    /// Waits for `time`, or until [`App::end_pauses`]. Returns `time`, or zero when the pause was cut short.
    pub async fn pause(&self, time: Duration) -> Duration {
        let mut ending = self.ending.subscribe();
        match tokio::time::timeout(time, ending.wait_for(|&ending| ending)).await {
            Err(_) => time,
            Ok(_) => Duration::ZERO,
        }
    }

    /// Ends every pause, including future ones. The process is about to end, and finishes its work without
    /// waiting.
    pub fn end_pauses(&self) {
        self.ending.send_replace(true);
    }
}
