//! Read positions: how far a member has read (`docs/contract.md`, "Read positions and unread counts").

use mysql_async::params;

use crate::Result;
use crate::base::db::Db;
use crate::base::fields::{Fields, Missing, Read, WholeNumber};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::socket::Socket;
use crate::base::user::User;
use crate::messages::message::MessageId;
use crate::sockets::connections::{self, InLargeRoom};

/// The position up to which a user says they have read: `roomId` and `seq`, or a message.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct Position {
    pub room_id: RoomId,
    pub seq: u64,
    pub user_id: Option<UserId>,
}

impl Read for Position {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = fields.optional::<RoomId>("roomId");
        let seq = fields.optional("seq").map(|seq| seq.map(|WholeNumber(seq)| seq));
        let message_id = fields.optional::<MessageId>("messageId");
        let user_id = fields.optional("userId");
        let (room_id, seq, message_id) = (room_id?, seq?, message_id?);
        if let Some(of) = message_id
            && (room_id.is_some_and(|room_id| room_id != of.room_id) || seq.is_some_and(|seq| seq != of.seq))
        {
            fields.wrong("messageId", "must be the message of the same roomId and seq");
        }
        let room_id = room_id.or(message_id.map(|of| of.room_id));
        let seq = seq.or(message_id.map(|of| of.seq));
        if room_id.is_none() {
            fields.wrong("roomId", "is required, unless there is a messageId");
        }
        if seq.is_none() {
            fields.wrong("seq", "is required, unless there is a messageId");
        }
        Ok(Self { room_id: room_id.ok_or(Missing)?, seq: seq.ok_or(Missing)?, user_id: user_id? })
    }
}

/// The read position after a request to move it.
#[derive(Debug)]
pub struct ReadUpTo {
    /// The position.
    pub seq: u64,
    /// The sockets to notify if something changed. In a room of more than 50 members they are the reader's own.
    pub sockets: Vec<Socket>,
}

/// Moves a member's read position forward, never past the room's last number and never back. A room that the member
/// marked as unread is so no more, wherever the position is. `by` is the socket that the request came from.
///
/// # Errors
/// [`crate::Error::NotFound`], [`crate::Error::NotAMember`], [`crate::Error::IdentityMismatch`],
/// [`crate::Error::Unauthenticated`] when the socket's session has ended meanwhile.
pub async fn read(db: &Db, user: &User, by: &ConnectionId, position: &Position) -> Result<ReadUpTo> {
    user.must_be(position.user_id.as_ref())?;
    let place = db.place_in(position.room_id).await?;
    // The room comes first, as in sending, although its row is only read.
    let changed = db
        .execute(
            "UPDATE rooms r
             STRAIGHT_JOIN connections c ON c.connection_id = :by AND c.expires_at > UTC_TIMESTAMP(3)
             STRAIGHT_JOIN room_members m ON m.room_id = r.id AND m.user_id = c.user_id
             SET m.read_seq = GREATEST(m.read_seq, LEAST(:seq, r.last_seq)), m.marked_unread = FALSE
             WHERE r.id = :room_id AND (m.read_seq < LEAST(:seq, r.last_seq) OR m.marked_unread)",
            params! { by, "room_id" => position.room_id, "seq" => position.seq },
        )
        .await?;
    drop(place);
    let audience = connections::of_small_room(db, by, position.room_id, InLargeRoom::OwnSockets).await?;
    let sockets = if changed.affected_rows > 0 { audience.sockets } else { Vec::new() };
    Ok(ReadUpTo { seq: audience.read_seq, sockets })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Error;

    fn parse(position: Value) -> Result<(u64, u64), Vec<String>> {
        match Fields::parse::<Position>(position) {
            Ok(position) => Ok((position.room_id.0, position.seq)),
            Err(Error::InvalidRequest(wrong)) => Err(wrong.into_iter().map(|error| error.field).collect()),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_position_is_a_room_and_a_number_or_a_message() {
        for good in [
            json!({"roomId": "7", "seq": 3}),
            json!({"messageId": "7-3"}),
            json!({"roomId": 7, "messageId": "7-3"}),
            json!({"roomId": 7, "seq": "3", "messageId": "7-3"}),
        ] {
            assert_eq!(parse(good.clone()), Ok((7, 3)), "{good}");
        }
        let bad: [(Value, &[&str]); 5] = [
            (json!({}), &["roomId", "seq"]),
            (json!({"roomId": 7}), &["seq"]),
            (json!({"seq": 3}), &["roomId"]),
            (json!({"roomId": 8, "messageId": "7-3"}), &["messageId"]),
            (json!({"roomId": 7, "seq": 4, "messageId": "7-3"}), &["messageId"]),
        ];
        for (bad, wrong) in bad {
            assert_eq!(parse(bad.clone()).unwrap_err(), wrong, "{bad}");
        }
    }
}
