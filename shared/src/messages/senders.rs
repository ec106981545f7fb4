//! The senders of the messages of a batch (`docs/contract.md`, "Messages"): the statement that locks the rooms, finds the
//! users of sessions and sockets, and locks the rows that let them send.

use std::collections::HashMap;

use mysql_async::prelude::{FromRow, Queryable};

use crate::Result;
use crate::base::db::{hexadecimal, json_rows, literal};
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::transaction::Transaction;
use crate::messages::draft::{Draft, Sender, Words};
use crate::messages::locked_rooms::{self, Room};
use crate::messages::message::{Quoted, quoted};
use crate::rooms::room::{RoomKind, RoomRole};

/// The messages of one request that are to be stored, with their sender.
#[derive(Clone, Debug)]
pub(crate) struct NewMessages {
    /// The session of a sender over REST.
    session_id: Option<String>,
    /// The socket of a sender by frame.
    connection_id: Option<ConnectionId>,
    pub(crate) draft: Draft,
}

impl NewMessages {
    pub(crate) fn new(sender: Sender<'_>, draft: Draft) -> Self {
        let (session_id, connection_id) = match sender {
            Sender::User(user) => (Some(user.session_id.clone()), None),
            Sender::Socket(connection_id) => (None, Some(connection_id.clone())),
        };
        Self { session_id, connection_id, draft }
    }

    /// What distinguishes one sender's messages from the others'.
    pub(crate) fn sender(&self) -> &str {
        self.session_id
            .as_deref()
            .or(self.connection_id.as_ref().map(ConnectionId::as_str))
            .unwrap_or_default()
    }

    /// The number of messages.
    pub(crate) fn count(&self) -> usize {
        self.draft.messages.len()
    }

    /// How many bytes of text they have.
    pub(crate) fn bytes(&self) -> usize {
        self.draft.messages.iter().map(|words| words.content.as_str().len()).sum()
    }
}

/// One message of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The place of its request in the batch.
    pub(crate) place: usize,
    pub(crate) request: &'a NewMessages,
    pub(crate) words: &'a Words,
}

/// A sender who may send to the room, and what decides about a message.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    /// The sender's window of `MESSAGE_LIMIT`, if there is a limit and the window has a row.
    pub(crate) tally: Option<u64>,
    pub(crate) role: RoomRole,
    /// What the message that it replies to shows, if there is such a message in the room.
    pub(crate) quoted: Option<String>,
}

impl Found {
    /// What the message that it replies to shows.
    pub(crate) fn quoted(&self, room_id: RoomId) -> Option<Quoted> {
        self.quoted.as_deref().and_then(|column| Quoted::stored(room_id, column))
    }
}

/// What the database is asked about a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question<'a> {
    room_id: RoomId,
    session_id: Option<&'a str>,
    connection_id: Option<&'a ConnectionId>,
    reply_to_seq: Option<u64>,
}

/// What the database is asked about messages. Equal questions are asked once.
pub(crate) struct Questions<'a> {
    distinct: Vec<Question<'a>>,
    /// The place of the question about each message.
    of_messages: Vec<usize>,
}

/// A row of the answer: the room of a question, which is locked now, and its sender, if they are a member.
#[derive(Debug, FromRow)]
pub(crate) struct Answer {
    place: usize,
    id: RoomId,
    kind: RoomKind,
    last_seq: u64,
    posts_tally: u64,
    audience: u32,
    slow_mode_seconds: u32,
    user_id: Option<UserId>,
    name: Option<String>,
    tally: Option<u64>,
    role: Option<RoomRole>,
    quoted: Option<String>,
}

impl<'a> Questions<'a> {
    pub(crate) fn about(messages: &[Asked<'a>]) -> Self {
        let mut places = HashMap::new();
        let mut distinct = Vec::new();
        let question_of = |Asked { request, words, .. }: &Asked<'a>| {
            let NewMessages { session_id, connection_id, draft } = request;
            let question = Question {
                room_id: draft.room_id,
                session_id: session_id.as_deref(),
                connection_id: connection_id.as_ref(),
                reply_to_seq: words.reply_to.map(|reply_to| reply_to.seq),
            };
            *places.entry(question).or_insert_with(|| {
                distinct.push(question);
                distinct.len() - 1
            })
        };
        let of_messages = messages.iter().map(question_of).collect();
        Self { distinct, of_messages }
    }

    /// Returns the statement that locks the rooms, finds the users of the sessions and sockets who are members of them, and
    /// locks the rows that say so. `waits` tells whether to wait for rooms that another transaction has locked, instead of
    /// leaving them out. Its rows are [`Answer`]s.
    ///
    /// The rooms come first, and the window last, because whoever holds its lock waits for no other room. The window alone
    /// is locked for a change: a lock that is shared first and then exclusive would deadlock with another like it.
    ///
    /// The other subqueries lock nothing. They read a snapshot, which the first of them takes. With replies that is after all
    /// rooms are locked, so that no message is quoted as it was before it was deleted. Otherwise it may be before the last
    /// room is locked: what another transaction may have written until then must be read with a lock, as [`have_sent`] does.
    pub(crate) fn select(&self, waits: bool, is_limited: bool) -> String {
        let (place, from, reply_to_seq) = match &self.distinct[..] {
            [question] => ("0", question.from(waits), question.reply_to_seq.map(|seq| seq.to_string())),
            questions => {
                let has_replies = questions.iter().any(|question| question.reply_to_seq.is_some());
                let reply_to_seq = has_replies.then(|| "k.reply_to_seq".to_owned());
                ("k.place", from_many(questions, waits, has_replies), reply_to_seq)
            }
        };
        let columns = found_columns(is_limited, reply_to_seq);
        format!(
            "SELECT STRAIGHT_JOIN {place} AS place, r.id, r.kind, r.last_seq, r.posts_tally, r.audience,
                    r.slow_mode_seconds, {columns}
             FROM {from} LOCK IN SHARE MODE"
        )
    }

    /// Takes the rows of the statement apart: the rooms that are locked now, and the senders.
    pub(crate) fn answered(self, answers: Vec<Answer>) -> (HashMap<RoomId, Room>, Senders) {
        let mut rooms = HashMap::new();
        let mut found: Vec<Option<Found>> = self.distinct.iter().map(|_| None).collect();
        for answer in answers {
            let Answer { id, kind, last_seq, posts_tally, audience, slow_mode_seconds, .. } = answer;
            let room =
                Room { id, kind, last_seq, posts_tally, audience, slow_mode_seconds, is_changed: false };
            rooms.insert(id, room);
            let Answer { tally, quoted, .. } = answer;
            if let Some(place) = found.get_mut(answer.place)
                && let (Some(user_id), Some(name), Some(role)) = (answer.user_id, answer.name, answer.role)
            {
                *place = Some(Found { user_id, name, tally, role, quoted });
            }
        }
        (rooms, Senders { found, of_messages: self.of_messages })
    }
}

impl Question<'_> {
    /// The tables that answer the only question. With a list of one, the table of the list would cost the server more than
    /// the rest.
    fn from(&self, waits: bool) -> String {
        let id =
            literal(self.session_id.or(self.connection_id.map(ConnectionId::as_str)).unwrap_or_default());
        let (table, is_signed_in) = match self.session_id {
            Some(_) => ("sessions", format!("s.session_id = {id} AND s.revoked_at IS NULL")),
            None => ("connections", format!("s.connection_id = {id} AND s.expires_at > UTC_TIMESTAMP(3)")),
        };
        format!(
            "({rooms}) r
             LEFT JOIN ({table} s FORCE INDEX (PRIMARY)
                        STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.user_id = s.user_id)
                    ON {is_signed_in} AND m.room_id = r.id",
            rooms = locked_rooms::lock(&[self.room_id], "", waits)
        )
    }
}

/// The tables that answer several questions. The server reads a list faster than it would a `SELECT` for each. It locks the
/// rooms in the order of the list, which is that of their ids. MySQL allows no `JSON_TABLE` beside `LOCK IN SHARE MODE`, but
/// one in a derived table.
fn from_many(questions: &[Question<'_>], waits: bool, has_replies: bool) -> String {
    let mut list: Vec<(usize, &Question<'_>)> = questions.iter().enumerate().collect();
    list.sort_by_key(|(_, question)| question.room_id);
    let mut rooms: Vec<RoomId> = list.iter().map(|(_, question)| question.room_id).collect();
    rooms.dedup();
    let list = list.into_iter().map(|(place, question)| {
        let Question { room_id, session_id, connection_id, reply_to_seq } = question;
        (place, room_id, session_id, connection_id, reply_to_seq)
    });
    let sessions =
        "LEFT JOIN sessions s FORCE INDEX (PRIMARY) ON s.session_id = k.session_id AND s.revoked_at IS NULL";
    let sockets = "LEFT JOIN connections c FORCE INDEX (PRIMARY) ON c.connection_id = k.connection_id
                          AND c.expires_at > UTC_TIMESTAMP(3)";
    let of_sessions = questions.iter().filter(|question| question.session_id.is_some()).count();
    let (signed_in, user_id) = match of_sessions {
        0 => (sockets.to_owned(), "c.user_id"),
        all if all == questions.len() => (sessions.to_owned(), "s.user_id"),
        _ => (format!("{sessions} {sockets}"), "COALESCE(s.user_id, c.user_id)"),
    };
    // The server runs a derived table with a limit before it reads what is joined to it. That takes it longer.
    let all_at_first =
        if has_replies { format!(" ORDER BY id LIMIT {}", rooms.len()) } else { String::new() };
    format!(
        "(SELECT * FROM JSON_TABLE({list}, '$[*]' COLUMNS (
              place INT UNSIGNED PATH '$[0]', room_id BIGINT UNSIGNED PATH '$[1]',
              session_id VARCHAR(64) PATH '$[2]', connection_id VARCHAR(64) PATH '$[3]',
              reply_to_seq BIGINT UNSIGNED PATH '$[4]')) j) k
         STRAIGHT_JOIN ({rooms}) r ON r.id = k.room_id
         {signed_in}
         LEFT JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = r.id AND m.user_id = {user_id}",
        list = literal(&json_rows(list)),
        rooms = locked_rooms::lock(&rooms, &all_at_first, waits)
    )
}

/// The columns of [`Found`]. What no message of the batch needs is not looked up: each subquery takes the server about as
/// long as the join. `reply_to_seq` is SQL.
fn found_columns(is_limited: bool, reply_to_seq: Option<String>) -> String {
    let tally = match is_limited {
        true => {
            "(SELECT l.tally FROM rate_limits l FORCE INDEX (PRIMARY)
              WHERE l.name = 'message' AND l.subject = m.user_id FOR UPDATE)"
        }
        false => "NULL",
    };
    let quoted = reply_to_seq.map_or("NULL".to_owned(), |seq| format!(quoted!("m.room_id", "{}"), seq));
    format!(
        "m.user_id, {tally} AS tally, (SELECT u.name FROM users u WHERE u.user_id = m.user_id) AS name, m.role,
         {quoted} AS quoted"
    )
}

/// The senders of messages.
#[derive(Debug)]
pub(crate) struct Senders {
    found: Vec<Option<Found>>,
    of_messages: Vec<usize>,
}

impl Senders {
    /// The sender of each message, in order.
    pub(crate) fn of_messages(&self) -> Vec<Option<&Found>> {
        self.of_messages.iter().map(|place| self.found.get(*place)?.as_ref()).collect()
    }
}

/// Tells of each message whether its sender has sent one with its `clientMessageId` to the room. The ids are hexadecimal in
/// the list: MariaDB's `JSON_TABLE` did not always undo the escapes of JSON.
///
/// # Errors
/// The database's.
pub(crate) async fn have_sent(
    transaction: &mut Transaction,
    messages: &[Asked<'_>],
    senders: &[Option<&Found>],
) -> Result<Vec<bool>> {
    let rows = messages.iter().zip(senders).enumerate().filter_map(|(place, (asked, sender))| {
        let id = asked.words.client_message_id.as_ref()?;
        Some((place, asked.request.draft.room_id, &sender.as_ref()?.user_id, hexadecimal(id.as_str())))
    });
    let sql = "SELECT k.place
         FROM (SELECT * FROM JSON_TABLE(?, '$[*]' COLUMNS (
                  place INT UNSIGNED PATH '$[0]', room_id BIGINT UNSIGNED PATH '$[1]',
                  user_id VARCHAR(64) PATH '$[2]', client_message_id VARCHAR(512) PATH '$[3]')) j) k
         STRAIGHT_JOIN messages x FORCE INDEX (messages_client_message_id) ON x.room_id = k.room_id
                AND x.sender_id = k.user_id AND x.client_message_id = UNHEX(k.client_message_id)
         LOCK IN SHARE MODE";
    let mut have_sent = vec![false; messages.len()];
    for place in transaction.exec::<usize, _, _>(sql, (json_rows(rows),)).await? {
        if let Some(has_sent) = have_sent.get_mut(place) {
            *has_sent = true;
        }
    }
    Ok(have_sent)
}
