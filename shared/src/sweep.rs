//! The sweep: erases what has expired (`docs/contract.md`, "The sweep"). A schedule runs it
//! (`template.yaml`), and each run also takes what the earlier ones did not reach.

use futures_util::{StreamExt, stream};
use mysql_async::{Value, params};
use serde::Serialize;

use crate::Result;
use crate::app::App;
use crate::base::db::{Db, places};
use crate::base::ids::{RoomId, UploadId};
use crate::base::rate_limit;
use crate::people::names;
use crate::rooms::delete;
use crate::uploads::{avatars, erase};

/// How many rows one statement deletes: few enough that no lock is held for long.
const BATCH: usize = 500;
/// How many batches of each kind one run takes, so that it ends well within a function's time limit.
const BATCHES: usize = 20;
/// How many uploads or avatars are erased at once.
const CONCURRENT_ERASURES: usize = 8;

/// How many of each kind one run erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is a table's rows")]
pub struct Swept {
    pub connections: u64,
    pub handshakes: u64,
    pub tickets: u64,
    pub invitations: u64,
    pub sessions: u64,
    pub rate_limits: u64,
    /// Deleted rooms, with their last messages.
    pub rooms: u64,
    /// Uploads that were never sent, or whose message is gone.
    pub uploads: u64,
    /// Avatars that nobody has any more.
    pub avatars: u64,
}

/// Erases expired tickets, invitations, sessions and limit windows, connections past their two hours, handshakes
/// without a CONNECT packet, and
/// what is left of deleted rooms. It also erases the bytes of uploads that belong to no message: not sent
/// within a day, left behind by a deleted message, or posted to an upload that no longer exists; and avatars
/// that nobody has. And it makes the keys of names that an older version of the service stored.
///
/// # Errors
/// The database's or the store's. Everything before the error has been erased.
pub async fn sweep(app: &App) -> Result<Swept> {
    let db = &app.db;
    let connections = delete(db, CONNECTIONS).await?;
    let handshakes = delete(db, HANDSHAKES).await?;
    let tickets = delete(db, TICKETS).await?;
    let invitations = delete(db, INVITATIONS).await?;
    let sessions = delete(db, SESSIONS).await?;
    let rate_limits = rate_limit::forget_ended(db, BATCH).await?;
    let rooms = rooms(db).await?;
    let uploads = uploads(app).await?;
    let avatars = avatars(app).await?;
    names::fill(db, BATCHES).await?;
    Ok(Swept {
        connections,
        handshakes,
        tickets,
        invitations,
        sessions,
        rate_limits,
        rooms,
        uploads,
        avatars,
    })
}

/// The statements that find and delete the expired rows of one table.
#[derive(Clone, Copy)]
struct Expired {
    /// Finds the keys of expired rows; its parameter is their maximum number.
    find: &'static str,
    /// Deletes the rows of a list of keys, if they are still expired. The list is appended to it.
    delete: &'static str,
}

/// `$disconnect` may come a little late, and it needs the row. Without an index, the whole table is read: it has only as
/// many rows as there are sockets.
const CONNECTIONS: Expired = Expired {
    find: "SELECT connection_id FROM connections WHERE connected_at < UTC_TIMESTAMP(3) - INTERVAL 130 MINUTE LIMIT ?",
    delete: "DELETE FROM connections WHERE connected_at < UTC_TIMESTAMP(3) - INTERVAL 130 MINUTE AND connection_id IN",
};
/// A server that was killed leaves them, and a job that failed until it was given up.
const HANDSHAKES: Expired = Expired {
    find: "SELECT connection_id FROM handshakes FORCE INDEX (handshakes_created_at)
           WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE LIMIT ?",
    delete: "DELETE FROM handshakes WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE AND connection_id IN",
};
const TICKETS: Expired = Expired {
    find: "SELECT ticket_hash FROM tickets FORCE INDEX (tickets_expires_at) WHERE expires_at < UTC_TIMESTAMP(3) LIMIT ?",
    delete: "DELETE FROM tickets WHERE expires_at < UTC_TIMESTAMP(3) AND ticket_hash IN",
};
const INVITATIONS: Expired = Expired {
    find: "SELECT invitation_id FROM invitations FORCE INDEX (invitations_expires_at)
           WHERE expires_at < UTC_TIMESTAMP(3) LIMIT ?",
    delete: "DELETE FROM invitations WHERE expires_at < UTC_TIMESTAMP(3) AND invitation_id IN",
};
/// A session stays while one of its sockets has a row, which would be deleted with it. `NOT EXISTS` would let MariaDB
/// read all sockets to find it.
///
/// The `DELETE` adds nothing to the time so that no server finds the rows by the index of the times: it would lock the
/// first session that has not expired.
const SESSIONS: Expired = Expired {
    find: "SELECT s.session_id FROM sessions s FORCE INDEX (sessions_expires_at)
           LEFT JOIN connections c FORCE INDEX (connections_session) ON c.session_id = s.session_id
           WHERE s.expires_at < UTC_TIMESTAMP(3) AND c.session_id IS NULL LIMIT ?",
    delete: "DELETE FROM sessions WHERE expires_at + INTERVAL 0 SECOND < UTC_TIMESTAMP(3)
             AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.session_id = sessions.session_id) AND session_id IN",
};

/// Deletes expired rows in batches. It finds them without a lock, because a `DELETE` by the condition itself
/// would lock every row that it reads.
async fn delete(db: &Db, expired: Expired) -> Result<u64> {
    let mut deleted = 0;
    for _ in 0..BATCHES {
        let keys: Vec<Value> = db.rows(expired.find, (BATCH,)).await?;
        if keys.is_empty() {
            break;
        }
        let found = keys.len();
        let sql = format!("{} ({})", expired.delete, places(found));
        deleted += db.execute(&sql, keys).await?.affected_rows;
        if found < BATCH {
            break;
        }
    }
    Ok(deleted)
}

/// Erases what is left of deleted rooms, the oldest first.
async fn rooms(db: &Db) -> Result<u64> {
    // In the order of the ids a server would look for them among all rooms.
    let sql = "SELECT id FROM rooms FORCE INDEX (rooms_newest)
               WHERE organization_id IS NULL ORDER BY id LIMIT ?";
    let deleted: Vec<RoomId> = db.rows(sql, (BATCHES,)).await?;
    let mut erased = 0;
    for room_id in deleted {
        erased += u64::from(delete::erase_some(db, room_id, BATCHES).await?);
    }
    Ok(erased)
}

async fn uploads(app: &App) -> Result<u64> {
    let mut erased = 0;
    for _ in 0..BATCHES {
        // A policy lasts fifteen minutes, so after a day nothing more can be posted.
        let found: Vec<(UploadId, bool, Option<u64>, Option<String>)> = app
            .db
            .rows(
                "(SELECT upload_id, room_id IS NULL, seq, object_key FROM uploads FORCE INDEX (uploads_message)
                  WHERE room_id IS NULL LIMIT :batch)
                 UNION ALL
                 (SELECT upload_id, FALSE, seq, object_key FROM uploads FORCE INDEX (uploads_swept)
                  WHERE swept = FALSE AND created_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY
                    AND room_id IS NOT NULL LIMIT :batch)",
                params! { "batch" => BATCH },
            )
            .await?;
        let is_last = found.len() < BATCH;
        let erasures = stream::iter(found).map(|(upload_id, is_nobodys, seq, object_key)| async move {
            match (is_nobodys, seq) {
                (true, _) => erase::erase(app, &upload_id).await.map(|()| 1),
                (false, None) => erase::discard(app, &upload_id).await.map(u64::from),
                (false, Some(_)) => erase::tidy(app, &upload_id, object_key.as_deref()).await.map(|()| 0),
            }
        });
        let outcomes: Vec<Result<u64>> = erasures.buffer_unordered(CONCURRENT_ERASURES).collect().await;
        for outcome in outcomes {
            erased += outcome?;
        }
        if is_last {
            break;
        }
    }
    erase::erase_strays(app).await?;
    Ok(erased)
}

async fn avatars(app: &App) -> Result<u64> {
    let mut erased = 0;
    for _ in 0..BATCHES {
        let unused = avatars::unused(&app.db, BATCH).await?;
        let is_last = unused.len() < BATCH;
        let erasures = stream::iter(unused).map(|key| async move { avatars::erase(app, &key).await });
        let outcomes: Vec<Result<()>> = erasures.buffer_unordered(CONCURRENT_ERASURES).collect().await;
        for outcome in outcomes {
            outcome?;
            erased += 1;
        }
        if is_last {
            break;
        }
    }
    Ok(erased)
}
