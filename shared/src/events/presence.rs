//! Presence: a user's friends are told when the first socket opens and when the last one has closed
//! (contract section 4). A row of `presence` says that they have been told of the first.

use crate::people::friends::friends;
use std::time::Duration;

use mysql_async::params;

use crate::Result;
use crate::app::App;
use crate::base::ids::{ConnectionId, UserId};
use crate::base::user::User;
use crate::events::event::Event;
use crate::sockets::connections::Closed;
use crate::sockets::tell::Notice;

/// How much longer than the hold a `$disconnect` may take, in seconds; one that takes longer has died. A
/// socket that was ended before it closed has expired a minute before (`connections::end`).
const SLACK_SECONDS: u64 = 70;

/// A user's socket has opened, and its row is stored: tells their friends, if they know of no other.
///
/// Nobody is told of a second socket, nor of a reconnect while the last `$disconnect` holds back. Both
/// leave a row of `connections`; where there is none, a `$disconnect` has died or never came, and the
/// friends may have seen the user offline meanwhile: they are told again.
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

/// A user's socket has closed. If it was the last one, waits for a reconnect, and tells their friends
/// if there was none. Nothing waits for who has no friends. One that opened and closed meanwhile has a
/// hold of its own, so a connection that comes and goes stays silent.
///
/// Whoever deletes the row tells it, so of two last sockets that close at once only one does. The
/// friends are told nothing when the user has appeared again since: the two pushes could change places.
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
    /// Waits so long, or until [`App::end_pauses`]. Answers the time, or zero when it was cut short.
    pub async fn pause(&self, time: Duration) -> Duration {
        let mut ending = self.ending.subscribe();
        match tokio::time::timeout(time, ending.wait_for(|&ending| ending)).await {
            Err(_) => time,
            Ok(_) => Duration::ZERO,
        }
    }

    /// Ends every pause, now and from now on: the process is about to end, and what it has begun is
    /// done at once.
    pub fn end_pauses(&self) {
        self.ending.send_replace(true);
    }
}
