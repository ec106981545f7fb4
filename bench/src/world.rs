//! A user with many rooms and very many messages, stored by SQL: sending them would take minutes.

use mysql_async::params;
use mysql_async::prelude::Queryable;

use crate::Result;
use crate::chat::{Chat, Person};
use crate::server::Database;

/// How many messages each room but the large one has, unless the large one has fewer.
const SMALL: u64 = 1000;
/// How many messages one statement stores.
const AT_ONCE: u64 = 10_000;

/// A user who has read nothing.
pub(crate) struct World {
    pub(crate) reader: Person,
    /// The room with all the messages.
    pub(crate) large: u64,
    pub(crate) messages: u64,
}

/// Fills the database: this many rooms, the first of them with this many messages.
pub(crate) async fn fill(chat: &Chat, database: &Database, rooms: usize, messages: u64) -> Result<World> {
    let (writer, reader) = (chat.register().await?, chat.register().await?);
    let people = [writer, reader];
    let large = fill_room(chat, database, &people, messages).await?;
    for _ in 1..rooms {
        fill_room(chat, database, &people, messages.min(SMALL)).await?;
    }
    let [_, reader] = people;
    Ok(World { reader, large, messages })
}

/// Makes a room with this many messages, those of its members' arrival included.
async fn fill_room(chat: &Chat, database: &Database, people: &[Person; 2], messages: u64) -> Result<u64> {
    let room = chat.room(people).await?;
    let mut connection = database.pool.get_conn().await?;
    let first: Option<u64> =
        connection.exec_first("SELECT last_seq FROM rooms WHERE id = ?", (room,)).await?;
    let mut last = first.ok_or("a new room is not in the database")?;
    while last < messages {
        let next = messages.min(last + AT_ONCE);
        connection
            .exec_drop(
                "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
                 SELECT :room, :last + n, :last + n, 'text', :sender,
                        CONCAT('A message of the usual length, and its number is ', n), UTC_TIMESTAMP(3)
                 FROM JSON_TABLE(CONCAT('[0', REPEAT(',0', :next - :last - 1), ']'),
                                 '$[*]' COLUMNS (n FOR ORDINALITY)) numbers",
                params! { room, last, next, "sender" => &people[0].user_id },
            )
            .await?;
        last = next;
    }
    connection.exec_drop("UPDATE rooms SET last_seq = ? WHERE id = ?", (last, room)).await?;
    Ok(room)
}
