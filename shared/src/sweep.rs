//! The sweep: erases what has run out. It is run by a schedule (`template.yaml`), and again takes what
//! it did not get to before.

use futures_util::{StreamExt, stream};
use mysql_async::Value;
use serde::Serialize;

use crate::Result;
use crate::app::App;
use crate::base::db::{Db, places};
use crate::base::ids::{RoomId, UploadId};
use crate::base::rate_limit;
use crate::rooms::delete;
use crate::uploads::erase;

/// How many rows one statement deletes: few enough to hold no lock for long.
const BATCH: usize = 500;
/// How many batches of one kind a run takes, so that it ends well within a function's time.
const BATCHES: usize = 20;
/// How many uploads are erased at once.
const CONCURRENT_ERASURES: usize = 8;

/// How many of each kind a run erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is a table's rows")]
pub struct Swept {
    pub connections: u64,
    pub tickets: u64,
    pub invitations: u64,
    pub sessions: u64,
    pub rate_limits: u64,
    /// Deleted rooms, with their last messages.
    pub rooms: u64,
    /// Uploads that were never sent, or whose message is gone.
    pub uploads: u64,
}

/// Erases expired tickets, invitations, sessions and limit windows, connections past their two hours, what
/// is left of deleted rooms, and the bytes of uploads that no message has: never sent for a day, left by a deleted message, or posted
/// to an upload that is no more.
///
/// # Errors
/// The database's or the store's, after what could be erased without it.
pub async fn sweep(app: &App) -> Result<Swept> {
    let db = &app.db;
    // `$disconnect` may be a little late, and needs the row.
    let connections =
        delete(db, "connections", "connection_id", "connected_at < UTC_TIMESTAMP(3) - INTERVAL 130 MINUTE")
            .await?;
    let tickets = delete(db, "tickets", "ticket_hash", "expires_at < UTC_TIMESTAMP(3)").await?;
    let invitations = delete(db, "invitations", "invitation_id", "expires_at < UTC_TIMESTAMP(3)").await?;
    // A socket's row must not go with its session before the socket has closed.
    let sessions = delete(
        db,
        "sessions",
        "session_id",
        "expires_at < UTC_TIMESTAMP(3)
         AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.session_id = sessions.session_id)",
    )
    .await?;
    let rate_limits = rate_limit::forget_ended(db, BATCH, BATCHES).await?;
    let rooms = rooms(db).await?;
    let uploads = uploads(app).await?;
    Ok(Swept { connections, tickets, invitations, sessions, rate_limits, rooms, uploads })
}

/// Deletes the rows for which `condition` holds, batch by batch. They are looked for without a lock:
/// a `DELETE` by the condition itself would lock every row that it reads.
async fn delete(db: &Db, table: &str, key: &str, condition: &str) -> Result<u64> {
    let mut deleted = 0;
    for _ in 0..BATCHES {
        let select = format!("SELECT {key} FROM {table} WHERE {condition} LIMIT {BATCH}");
        let keys: Vec<Value> = db.rows(&select, ()).await?;
        if keys.is_empty() {
            break;
        }
        let (found, places) = (keys.len(), places(keys.len()));
        let sql = format!("DELETE FROM {table} WHERE {key} IN ({places}) AND {condition}");
        deleted += db.execute(&sql, keys).await?.affected_rows;
        if found < BATCH {
            break;
        }
    }
    Ok(deleted)
}

/// Erases what is left of deleted rooms, the oldest first.
async fn rooms(db: &Db) -> Result<u64> {
    let deleted: Vec<RoomId> = db
        .rows(&format!("SELECT id FROM rooms WHERE organization_id IS NULL ORDER BY id LIMIT {BATCHES}"), ())
        .await?;
    let mut erased = 0;
    for room_id in deleted {
        erased += u64::from(delete::erase_some(db, room_id, BATCHES).await?);
    }
    Ok(erased)
}

async fn uploads(app: &App) -> Result<u64> {
    let mut erased = 0;
    for _ in 0..BATCHES {
        // A policy ends after fifteen minutes; a day later nothing more is posted.
        let found: Vec<(UploadId, bool, Option<u64>, Option<String>)> = app
            .db
            .rows(
                &format!(
                    "(SELECT upload_id, room_id IS NULL, seq, object_key FROM uploads
                      WHERE room_id IS NULL LIMIT {BATCH})
                     UNION ALL
                     (SELECT upload_id, FALSE, seq, object_key FROM uploads
                      WHERE swept = FALSE AND created_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY
                        AND room_id IS NOT NULL LIMIT {BATCH})"
                ),
                (),
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
