//! Connections: one row for each open socket, with its user and session (`docs/contract.md`, "Connecting").
//!
//! A socket must stop when its session ends or its user has too many. Its row then expires at once: the
//! socket gets no more frames and may do nothing. The row stays for `$disconnect`, which needs the user.

use chrono::NaiveDateTime;
use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::base::db::{Db, places};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::socket::{Protocol, Socket};
use crate::base::time;
use crate::base::tokens::Bearer;
use crate::base::transaction::Transaction;
use crate::base::user::{Role, User};
use crate::error::Thing;
use crate::sockets::handshakes;
use crate::{Error, Result};

/// API Gateway ends a connection after two hours (WebSocket API quotas).
const HOURS: u32 = 2;
/// A post may overtake the handshake and find no socket. A row younger than this stays valid even so;
/// otherwise the socket would open and never get a push.
const HANDSHAKE_SECONDS: u32 = 60;
/// The most members of a room that is notified of typing and read positions
/// (`docs/contract.md`, "Typing, presence and read positions").
pub(crate) const SMALL_ROOM: u32 = 50;

/// Stores a socket of a user, which this server process holds, if one does. A user has at most `MAX_SOCKETS`:
/// returns the oldest ones beyond that, which the caller must close; or `None`, and stores nothing, when it is a socket of
/// Socket.IO that does not wait for its CONNECT packet any more.
///
/// # Errors
/// [`Error::Unauthenticated`] when the session has ended.
pub async fn open(
    db: &Db,
    socket: &Socket,
    bearer: &Bearer,
    max_sockets: Option<u32>,
    process_id: Option<&str>,
) -> Result<Option<Vec<Socket>>> {
    db.transaction((socket, bearer, max_sockets, process_id), insert).await
}

async fn insert(
    transaction: &mut Transaction,
    (socket, bearer, most, process_id): (&Socket, &Bearer, Option<u32>, Option<&str>),
) -> Result<Option<Vec<Socket>>> {
    let Socket { connection_id, protocol } = socket;
    let Bearer { user_id, session_id } = bearer;
    if *protocol == Protocol::SocketIo && !handshakes::finish(transaction, connection_id).await? {
        return Ok(None);
    }
    // Without a lock of the user's row, two sockets that open at once would not count each other.
    let from = match most {
        Some(_) => {
            "(SELECT user_id FROM users WHERE user_id = :user_id FOR UPDATE) u
             STRAIGHT_JOIN sessions s ON s.user_id = u.user_id"
        }
        None => "sessions s",
    };
    // The session's row stays locked until the commit, so revoking the session ends this socket too. The lock is shared: a
    // request of the session may hold one too, while it waits for the user's row.
    transaction
        .exec_drop(
            format!(
                "INSERT INTO connections
                     (connection_id, user_id, session_id, connected_at, expires_at, process_id, protocol)
                 SELECT :connection_id, s.user_id, s.session_id, :now,
                        LEAST(UTC_TIMESTAMP(3) + INTERVAL :hours HOUR, s.expires_at), :process_id, :protocol
                 FROM {from} WHERE s.session_id = :session_id AND s.user_id = :user_id
                   AND s.revoked_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3) LOCK IN SHARE MODE"
            ),
            params! {
                connection_id,
                user_id,
                session_id,
                "now" => time::now(),
                "hours" => HOURS,
                process_id,
                "protocol" => *protocol,
            },
        )
        .await?;
    if transaction.affected_rows() == 0 {
        return Err(Error::Unauthenticated);
    }
    let Some(most) = most else { return Ok(Some(Vec::new())) };
    let surplus: Vec<Socket> = transaction
        .exec(
            "SELECT connection_id, protocol FROM connections FORCE INDEX (connections_user)
             WHERE user_id = ? AND connection_id <> ? AND expires_at > UTC_TIMESTAMP(3)
             ORDER BY connected_at DESC, connection_id LIMIT 1000 OFFSET ?",
            (user_id, connection_id, most - 1),
        )
        .await?;
    end(transaction, &surplus).await?;
    Ok(Some(surplus))
}

/// Ends sockets that are open but must stop. `UTC_TIMESTAMP` is the time at which a statement began, before
/// it waited for its locks. A minute earlier is before the start of any statement that can still be waiting.
///
/// # Errors
/// The database's.
pub(crate) async fn end(transaction: &mut Transaction, sockets: &[Socket]) -> Result<()> {
    if sockets.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE connections SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE WHERE connection_id IN ({})",
        places(sockets.len())
    );
    let ids: Vec<mysql_async::Value> = sockets.iter().map(|socket| (&socket.connection_id).into()).collect();
    Ok(transaction.exec_drop(sql, ids).await?)
}

/// Checks that the requesting socket is still open, and locks its row until the transaction ends. The session
/// may have ended while a password was being checked.
///
/// # Errors
/// [`Error::Unauthenticated`] when the socket is not open any more.
pub(crate) async fn still_open(transaction: &mut Transaction, connection_id: &ConnectionId) -> Result<()> {
    let found: Option<u8> = transaction
        .exec_first(
            "SELECT 1 FROM connections
             WHERE connection_id = ? AND expires_at > UTC_TIMESTAMP(3) LOCK IN SHARE MODE",
            (connection_id,),
        )
        .await?;
    found.map(drop).ok_or(Error::Unauthenticated)
}

/// A socket that has closed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// The socket.
    pub connection_id: ConnectionId,
    /// The user whose socket it was.
    pub user_id: UserId,
    /// When it ended.
    pub closed_at: NaiveDateTime,
    /// Whether the user has another socket open.
    pub is_online: bool,
    /// Whether there may be people to notify: friends, or members of a room, unless the user hides from them.
    // Under its old name, which an older version of `presence` reads that runs beside this one.
    #[serde(rename = "hasFriends", alias = "hasAudience")]
    pub has_audience: bool,
}

/// Ends a socket that has closed. Returns whose it was, or `None` if the socket is unknown, or was stored while this ran.
/// Its row stays until [`forget`]. The row expires before the user's other sockets are read: when a user's last two sockets
/// close at once, at least one of them sees that no other is open.
///
/// # Errors
/// The database's.
pub async fn close(db: &Db, connection_id: &ConnectionId) -> Result<Option<Closed>> {
    db.execute(
        "UPDATE connections SET expires_at = UTC_TIMESTAMP(3)
         WHERE connection_id = ? AND expires_at > UTC_TIMESTAMP(3)",
        (connection_id,),
    )
    .await?;
    let row: Option<(UserId, NaiveDateTime, bool, bool)> = db
        .first(
            "SELECT c.user_id, c.expires_at,
                EXISTS (SELECT 1 FROM connections o FORCE INDEX (connections_user)
                        WHERE o.user_id = c.user_id AND o.expires_at > UTC_TIMESTAMP(3)) AS is_online,
                u.shows_presence AND (
                    EXISTS (SELECT 1 FROM room_members m FORCE INDEX (room_members_user)
                            WHERE m.user_id = c.user_id)
                    OR EXISTS (SELECT 1 FROM friend_requests f FORCE INDEX (friend_requests_from)
                               WHERE f.from_id = c.user_id AND f.status = 'accepted')
                    OR EXISTS (SELECT 1 FROM friend_requests f FORCE INDEX (friend_requests_to)
                               WHERE f.to_id = c.user_id AND f.status = 'accepted')) AS has_audience
         FROM connections c JOIN users u ON u.user_id = c.user_id
         WHERE c.connection_id = ? AND c.expires_at <= UTC_TIMESTAMP(3)",
            (connection_id,),
        )
        .await?;
    Ok(row.map(|(user_id, closed_at, is_online, has_audience)| {
        let connection_id = connection_id.clone();
        Closed { connection_id, user_id, closed_at, is_online, has_audience }
    }))
}

/// Deletes the row of a socket that has closed.
///
/// # Errors
/// The database's.
pub async fn forget(db: &Db, connection_id: &ConnectionId) -> Result<()> {
    db.execute("DELETE FROM connections WHERE connection_id = ?", (connection_id,)).await.map(drop)
}

/// Ends the sockets that a post found gone, unless their handshake may still be in progress. Their rows stay
/// for a `$disconnect` that may still come. Unlike [`end`], this does not backdate the expiry: the session
/// continues, so the socket's last requests may still complete, and a reconnect stays silent for as long as
/// after any other close.
///
/// # Errors
/// The database's.
pub async fn end_gone(db: &Db, gone: &[ConnectionId]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let places = places(gone.len());
    let sql = format!(
        "UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE connection_id IN ({places})
         AND connected_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND
         AND expires_at > UTC_TIMESTAMP(3)"
    );
    let mut params: Vec<mysql_async::Value> = gone.iter().map(Into::into).collect();
    params.push(HANDSHAKE_SECONDS.into());
    db.execute(&sql, params).await.map(drop)
}

/// Returns the user whose socket this is, as the database has them now.
///
/// # Errors
/// [`Error::Unauthenticated`] when the service does not know the socket.
pub async fn user(db: &Db, connection_id: &ConnectionId) -> Result<User> {
    let row: Option<(UserId, u64, String, Role, bool, String)> = db
        .first(
            "SELECT u.user_id, u.organization_id, u.name, u.role, u.prime, c.session_id
             FROM connections c JOIN users u ON u.user_id = c.user_id
             WHERE c.connection_id = ? AND c.expires_at > UTC_TIMESTAMP(3)",
            (connection_id,),
        )
        .await?;
    let (user_id, organization_id, name, role, prime, session_id) = row.ok_or(Error::Unauthenticated)?;
    Ok(User { user_id, organization_id, name, role, prime, session_id })
}

/// Returns the sockets of these users.
///
/// # Errors
/// The database's.
pub async fn of_users(db: &Db, user_ids: &[&UserId]) -> Result<Vec<Socket>> {
    if user_ids.is_empty() {
        return Ok(Vec::new());
    }
    let places = places(user_ids.len());
    let sql = format!(
        "SELECT connection_id, protocol FROM connections FORCE INDEX (connections_user)
         WHERE user_id IN ({places}) AND expires_at > UTC_TIMESTAMP(3)"
    );
    let params: Vec<mysql_async::Value> = user_ids.iter().map(|&user_id| user_id.into()).collect();
    db.rows(&sql, params).await
}

/// Returns the sockets of a room's members, and those of `and_of`, a user who has just left it.
///
/// # Errors
/// The database's.
pub async fn of_room(db: &Db, room_id: RoomId, and_of: Option<&UserId>) -> Result<Vec<Socket>> {
    db.rows(
        "SELECT c.connection_id, c.protocol FROM room_members m FORCE INDEX (PRIMARY)
         STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = m.user_id
         WHERE m.room_id = :room_id AND c.expires_at > UTC_TIMESTAMP(3)
         UNION SELECT c.connection_id, c.protocol FROM connections c FORCE INDEX (connections_user)
         WHERE c.user_id = :and_of AND c.expires_at > UTC_TIMESTAMP(3)",
        params! { room_id, and_of },
    )
    .await
}

/// Returns the sockets of an organization's users.
///
/// # Errors
/// The database's.
pub async fn of_organization(db: &Db, organization_id: u64) -> Result<Vec<Socket>> {
    db.rows(
        "SELECT c.connection_id, c.protocol FROM users u FORCE INDEX (users_of_organization)
         STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = u.user_id
         WHERE u.organization_id = ? AND c.expires_at > UTC_TIMESTAMP(3)",
        (organization_id,),
    )
    .await
}

/// The audience of the events that only small rooms get.
#[derive(Debug)]
pub struct SmallRoomAudience {
    /// The requesting user's read position in the room.
    pub read_seq: u64,
    /// The members' sockets. In a room of more than 50 members it is empty, or has the requesting user's own.
    pub sockets: Vec<Socket>,
}

/// The sockets that get an event in a room of more than 50 members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InLargeRoom {
    /// Nobody.
    Nobody,
    /// The sockets of the user who requests it.
    OwnSockets,
}

/// Returns the sockets of a room of at most 50 members, at the request of one member's socket
/// (`docs/contract.md`, "Typing, presence and read positions": `typing` and `messageRead`). This is the last
/// query before the push, and it checks the requesting socket first: a socket that has just ended notifies
/// nobody.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::NotFound`], [`Error::NotAMember`].
pub(crate) async fn of_small_room(
    db: &Db,
    by: &ConnectionId,
    room_id: RoomId,
    in_large_room: InLargeRoom,
) -> Result<SmallRoomAudience> {
    type Found = (Option<RoomId>, Option<u64>, Option<ConnectionId>, Option<Protocol>);
    let rows: Vec<Found> = db
        .rows(
            "SELECT r.id, me.read_seq, o.connection_id, o.protocol
             FROM connections c STRAIGHT_JOIN users u ON u.user_id = c.user_id
             LEFT JOIN rooms r ON r.id = :room_id AND r.organization_id = u.organization_id
             LEFT JOIN room_members me ON me.room_id = r.id AND me.user_id = u.user_id
             LEFT JOIN (room_members m FORCE INDEX (PRIMARY)
                        STRAIGHT_JOIN connections o FORCE INDEX (connections_user)
                        ON o.user_id = m.user_id AND o.expires_at > UTC_TIMESTAMP(3))
               ON m.room_id = r.id AND r.member_count <= :small AND me.user_id IS NOT NULL
             WHERE c.connection_id = :by AND c.expires_at > UTC_TIMESTAMP(3)
             UNION ALL
             SELECT r.id, me.read_seq, o.connection_id, o.protocol
             FROM connections c FORCE INDEX (PRIMARY)
             STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = :room_id AND r.member_count > :small
             STRAIGHT_JOIN room_members me FORCE INDEX (PRIMARY) ON me.room_id = r.id AND me.user_id = c.user_id
             STRAIGHT_JOIN connections o FORCE INDEX (connections_user)
               ON o.user_id = c.user_id AND o.expires_at > UTC_TIMESTAMP(3)
             WHERE :own_sockets AND c.connection_id = :by AND c.expires_at > UTC_TIMESTAMP(3)",
            params! {
                room_id,
                by,
                "small" => SMALL_ROOM,
                "own_sockets" => in_large_room == InLargeRoom::OwnSockets,
            },
        )
        .await?;
    let (room, read_seq, ..) = rows.first().ok_or(Error::Unauthenticated)?;
    room.ok_or(Error::NotFound(Thing::Room))?;
    let read_seq = read_seq.ok_or(Error::NotAMember)?;
    let sockets = rows.into_iter().filter_map(|(.., id, protocol)| Socket::found(id, protocol)).collect();
    Ok(SmallRoomAudience { read_seq, sockets })
}
