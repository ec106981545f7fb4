//! Direct chats: the one room of two users (`docs/contract.md`, "Direct chats").

use mysql_async::params;
use mysql_async::prelude::Queryable;

use crate::app::App;
use crate::base::fields::{Fields, Missing, Read};
use crate::base::ids::{RoomId, UserId, pair};
use crate::base::rate_limit::{self, Limited};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::config::Limits;
use crate::error::Thing;
use crate::messages::batch::{self, Batch, Outcome, Stored};
use crate::messages::draft::{Draft, Sender, Words};
use crate::messages::posts;
use crate::messages::send::{self, Sent, SentList};
use crate::messages::senders::NewMessages;
use crate::people::organizations;
use crate::people::sessions;
use crate::rooms::room::{self, NewRoom, Room, RoomKind};
use crate::{Error, Result};

pub(crate) const CAPACITY: u32 = 2;

/// How many characters of each user's name go into the name of a direct chat, which has at most 100.
const NAME_LENGTH: usize = 48;

/// The receiver of a message.
#[derive(Debug)]
pub enum Receiver {
    /// A user, and the name of the field that named them.
    User(UserId, &'static str),
    /// The members of a room of any kind.
    Chat(RoomId),
}

/// A request to send a message to a user or a room.
#[derive(Debug)]
#[expect(missing_docs, reason = "the contract's fields")]
pub struct DirectMessage {
    pub receiver: Receiver,
    pub words: Words,
}

impl Read for DirectMessage {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        const NAMES: [&str; 3] = ["userId", "receiverId", "to"];
        let users = NAMES.map(|name| (name, fields.optional::<UserId>(name)));
        let chat_id = fields.optional::<RoomId>("chatId");
        let words = Words::read_in(fields, chat_id.as_ref().ok().copied().flatten());
        let is_given = |result: &Result<bool, ()>| !matches!(result, Ok(false));
        let given = users
            .iter()
            .map(|(_, user_id)| user_id.as_ref().map(Option::is_some).map_err(drop))
            .chain([chat_id.as_ref().map(Option::is_some).map_err(drop)])
            .filter(is_given)
            .count();
        if given != 1 {
            fields.wrong("userId", "must be given, or instead just one of receiverId, to and chatId");
        }
        let mut receiver = chat_id?.map(Receiver::Chat);
        for (name, user_id) in users {
            if let Some(user_id) = user_id? {
                receiver = Some(Receiver::User(user_id, name));
            }
        }
        Ok(Self { receiver: receiver.ok_or(Missing)?, words: words? })
    }
}

/// Sends a message to a room, or to a user: their direct chat is created with its first message. Every
/// request counts for `MESSAGE_LIMIT`, even if it is refused.
///
/// # Errors
/// Those of [`send::send`], [`Error::NotFound`] for the user, a 400 for oneself, and [`Error::RateLimited`] for a first
/// message after `ROOM_LIMIT`.
pub async fn send(app: &App, sender: &User, message: DirectMessage) -> Result<Sent> {
    let DirectMessage { receiver, words } = message;
    let draft = match receiver {
        Receiver::Chat(room_id) => words.in_room(room_id),
        Receiver::User(other, field) => match room_with(app, sender, &other, field, &words).await {
            Ok(Some(room_id)) => words.in_room(room_id),
            Ok(None) => match begin(app, sender, &other, &words).await? {
                Begun::Now(sent) => return Ok(*sent),
                Begun::Before(room_id) => words.in_room(room_id),
            },
            Err(refusal) => Err(refusal),
        },
    };
    match draft {
        // `send::send` counts it.
        Ok(draft) => send::send(app, Sender::User(sender), draft).await,
        Err(refusal) => {
            rate_limit::count(&app.db, &app.config.limits, Limited::Message(&sender.user_id)).await?;
            Err(refusal)
        }
    }
}

/// Returns the direct chat of these two users. Returns `None` when there is none yet and these words may
/// begin it.
async fn room_with(
    app: &App,
    sender: &User,
    other: &UserId,
    field: &str,
    words: &Words,
) -> Result<Option<RoomId>> {
    if *other == sender.user_id {
        return Err(Error::invalid(field, "must be somebody else"));
    }
    let room_id = room_of(app, sender, other).await?;
    if room_id.is_none() && words.reply_to.is_some() {
        return Err(Error::invalid("replyTo", "names no message of this room"));
    }
    Ok(room_id)
}

/// Returns the direct chat with a user of the organization, if there is one.
async fn room_of(app: &App, user: &User, other: &UserId) -> Result<Option<RoomId>> {
    let (lesser, greater) = pair(&user.user_id, other);
    let found: Option<Option<RoomId>> = app
        .db
        .first(
            "SELECT d.room_id FROM users u
             LEFT JOIN direct_chats d ON d.lesser_id = :lesser AND d.greater_id = :greater
             WHERE u.user_id = :other AND u.organization_id = :organization_id",
            params! { lesser, greater, other, "organization_id" => user.organization_id },
        )
        .await?;
    found.ok_or(Error::NotFound(Thing::User))
}

/// How a direct chat began.
enum Begun {
    /// This message created it.
    Now(Box<Sent>),
    /// It had just been created, because the other user wrote at the same time.
    Before(RoomId),
}

async fn begin(app: &App, sender: &User, other: &UserId, words: &Words) -> Result<Begun> {
    let (limits, limited) = (&app.config.limits, Limited::Message(&sender.user_id));
    rate_limit::count(&app.db, limits, limited).await?;
    match app.db.transaction((sender, other, words, limits), open).await? {
        Opened::Now(draft, stored, room) => {
            let mut sockets = posts::sockets(&app.db, limits.room_posts, &[draft.room_id]).await?;
            let sockets = sockets.remove(&draft.room_id).unwrap_or_default();
            let sent = Sent { room: Some(*room), ..SentList::now(draft, stored, sockets).only()? };
            Ok(Begun::Now(Box::new(sent)))
        }
        Opened::Before(room_id) => {
            // The message is now sent, and counted, like any other.
            rate_limit::give_back(&app.db, limits, limited).await?;
            Ok(Begun::Before(room_id))
        }
    }
}

enum Opened {
    Now(Draft, Stored, Box<Room>),
    Before(RoomId),
}

/// Creates the direct chat of two users with its first message. The users' rows are locked first, in the
/// order of their ids. However many requests start at once, one creates the room and the others find it.
async fn open(
    transaction: &mut Transaction,
    (sender, other, words, limits): (&User, &UserId, &Words, &Limits),
) -> Result<Opened> {
    let (lesser, greater) = pair(&sender.user_id, other);
    organizations::share(transaction, sender.organization_id).await?;
    let names: Vec<(UserId, String)> = transaction
        .exec(
            "SELECT user_id, name FROM users FORCE INDEX (PRIMARY)
             WHERE user_id IN (:lesser, :greater) ORDER BY user_id FOR UPDATE",
            params! { lesser, greater },
        )
        .await?;
    sessions::still_signed_in(transaction, sender, None).await?;
    // This is the first read without a lock, so its snapshot is younger than the locks.
    let room_id: Option<RoomId> = transaction
        .exec_first(
            "SELECT room_id FROM direct_chats WHERE lesser_id = ? AND greater_id = ?",
            (lesser, greater),
        )
        .await?;
    if let Some(room_id) = room_id {
        return Ok(Opened::Before(room_id));
    }
    let other_name = names.iter().find(|(user_id, _)| user_id == other).map(|(_, name)| name);
    let other_name = other_name.ok_or(Error::NotFound(Thing::User))?;
    let short = |name: &str| name.chars().take(NAME_LENGTH).collect::<String>();
    let new = NewRoom {
        kind: RoomKind::Direct,
        name: &format!("{} & {}", short(&sender.name), short(other_name)),
        password_hash: None,
        capacity: CAPACITY,
        creator: sender,
        others: &[other],
        limits,
    };
    let room = room::insert(transaction, new).await?;
    let room_id = room.id;
    transaction
        .exec_drop(
            "INSERT INTO direct_chats (lesser_id, greater_id, room_id) VALUES (?, ?, ?)",
            (lesser, greater, room_id),
        )
        .await?;
    // The message was counted before the transaction began.
    let new = NewMessages::new(Sender::User(sender), Draft::of(room_id, words.clone()));
    let batch = Batch { requests: std::slice::from_ref(&new), limits: None, waits: true };
    match batch::store_within(transaction, batch).await?.pop() {
        Some(Outcome::Stored(stored)) => {
            let room = Room { last_seq: stored.seq, updated_at: stored.created_at, ..room };
            Ok(Opened::Now(new.draft, stored, Box::new(room)))
        }
        Some(Outcome::Refused(_, refusal)) => Err(refusal.error(&new.draft)),
        _ => Err(Error::internal("a direct chat refused its first message")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wrong(message: Value) -> Vec<String> {
        match Fields::parse::<DirectMessage>(message) {
            Err(Error::InvalidRequest(wrong)) => wrong.into_iter().map(|error| error.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_letter_has_just_one_receiver() {
        for receiver in ["userId", "receiverId", "to", "chatId"] {
            assert!(
                Fields::parse::<DirectMessage>(json!({(receiver): 7, "content": "x"})).is_ok(),
                "{receiver}"
            );
        }
        assert_eq!(wrong(json!({"content": "x"})), ["userId"]);
        assert_eq!(wrong(json!({"to": "bob", "chatId": 1, "content": "x"})), ["userId"]);
        assert_eq!(wrong(json!({"to": "bob", "receiverId": "bob", "content": "x"})), ["userId"]);
    }

    #[test]
    fn everything_wrong_with_a_letter_is_named() {
        assert_eq!(
            wrong(json!({"to": "!", "content": "", "isEncrypted": 1})),
            ["to", "content", "isEncrypted"]
        );
        assert_eq!(wrong(json!({"chatId": "x", "replyTo": "x"})), ["chatId", "content", "replyTo"]);
        assert_eq!(wrong(json!({"chatId": 1, "replyTo": "2-1", "content": ""})), ["content", "replyTo"]);
    }
}
