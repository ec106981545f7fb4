//! The senders of the messages of a batch (`docs/contract.md`, "Messages"): finds the users of sessions and sockets, and
//! locks the rows that let them send.

use std::collections::{BTreeSet, HashMap};

use mysql_async::Value;
use mysql_async::prelude::{FromRow, Queryable};

use crate::Result;
use crate::base::db::json_rows;
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::base::transaction::Transaction;
use crate::messages::draft::{Draft, Sender, Words};
use crate::messages::mentions;
use crate::messages::message::{ClientMessageId, Quoted, quoted};
use crate::rooms::room::RoomRole;

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
#[derive(Debug, FromRow)]
pub(crate) struct Found {
    /// The place of the question.
    place: usize,
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    /// The sender's window of `MESSAGE_LIMIT`, if it has a row.
    pub(crate) tally: Option<u64>,
    /// Whether the sender has sent a message with this `clientMessageId` to the room.
    pub(crate) is_sent: bool,
    pub(crate) role: RoomRole,
    /// What the message that it replies to shows, if there is such a message in the room.
    pub(crate) quoted: Option<String>,
    /// Who of those whom messages of the batch mention is a member of their room.
    pub(crate) mentioned: Option<String>,
}

impl Found {
    /// What the message that it replies to shows.
    pub(crate) fn quoted(&self, room_id: RoomId) -> Option<Quoted> {
        self.quoted.as_deref().and_then(|column| Quoted::stored(room_id, column))
    }
}

/// What is looked up besides the senders. Otherwise `tally` is `None`, and `is_sent` false.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) tally: bool,
    pub(crate) is_sent: bool,
}

/// What the database is asked about a message: equal questions are asked once.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question<'a> {
    room_id: RoomId,
    session_id: Option<&'a str>,
    connection_id: Option<&'a ConnectionId>,
    /// `None` also if nobody wants to know whether it was sent.
    client_message_id: Option<&'a ClientMessageId>,
    reply_to_seq: Option<u64>,
}

impl<'a> Question<'a> {
    fn about(message: &Asked<'a>, wanted: Wanted) -> Self {
        let Asked { request: NewMessages { session_id, connection_id, draft }, words, .. } = message;
        Self {
            room_id: draft.room_id,
            session_id: session_id.as_deref(),
            connection_id: connection_id.as_ref(),
            client_message_id: words.client_message_id.as_ref().filter(|_| wanted.is_sent),
            reply_to_seq: words.reply_to.map(|reply_to| reply_to.seq),
        }
    }
}

/// The senders of messages.
#[derive(Debug)]
pub(crate) struct Senders {
    /// One for each question.
    found: Vec<Option<Found>>,
    /// The place of the question about each message.
    questions: Vec<usize>,
}

impl Senders {
    /// The sender of each message, in order.
    pub(crate) fn of_messages(&self) -> Vec<Option<&Found>> {
        self.questions.iter().map(|place| self.found.get(*place)?.as_ref()).collect()
    }

    /// Who of those whom messages of the batch mention is a member of their room.
    pub(crate) fn mentioned(&self) -> BTreeSet<(RoomId, UserId)> {
        // It is the same in all rows.
        mentions::members(self.found.iter().flatten().next().and_then(|found| found.mentioned.as_deref()))
    }
}

/// Finds the users of the sessions and sockets who are members of the rooms, and locks the rows that say so.
///
/// The window comes last, because whoever holds its lock waits for no other room. It alone is locked for a change: a
/// lock that is shared first and then exclusive would deadlock with another like it. The other subqueries lock nothing.
/// They read a snapshot that is younger than the locks of the rooms, so it contains all earlier messages.
///
/// # Errors
/// The database's.
pub(crate) async fn find(
    transaction: &mut Transaction,
    messages: &[Asked<'_>],
    wanted: Wanted,
) -> Result<Senders> {
    let mut places = HashMap::new();
    let mut distinct = Vec::new();
    let questions = messages.iter().map(|message| {
        let question = Question::about(message, wanted);
        *places.entry(question).or_insert_with_key(|question| {
            distinct.push(question.clone());
            distinct.len() - 1
        })
    });
    let questions = questions.collect();
    let named = messages.iter().map(|asked| (asked.request.draft.room_id, &asked.words.mentions));
    let named = mentions::members_column(named);
    let (sql, params) = match &distinct[..] {
        [question] => sender_of_one(question, wanted, named),
        questions => senders_of_many(questions, wanted, named),
    };
    let rows: Vec<Found> = transaction.exec(sql, params).await?;
    let mut found: Vec<Option<Found>> = distinct.iter().map(|_| None).collect();
    for row in rows {
        if let Some(place) = found.get_mut(row.place) {
            *place = Some(row);
        }
    }
    Ok(Senders { found, questions })
}

/// The columns of [`Found`] but the place. What no message of the batch needs is not looked up: each subquery takes the
/// server about as long as the join. `client_message_id` and `reply_to_seq` are SQL, `mentioned` is
/// [`mentions::members_column`]'s.
fn found_columns(
    wanted: Wanted,
    client_message_id: Option<&str>,
    reply_to_seq: Option<&str>,
    mentioned: &str,
) -> String {
    let tally = match wanted.tally {
        true => {
            "(SELECT l.tally FROM rate_limits l FORCE INDEX (PRIMARY)
              WHERE l.name = 'message' AND l.subject = m.user_id FOR UPDATE)"
        }
        false => "NULL",
    };
    let is_sent = client_message_id.map_or("FALSE".to_owned(), |id| {
        format!(
            "EXISTS (SELECT 1 FROM messages x WHERE x.room_id = m.room_id AND x.sender_id = m.user_id
                     AND x.client_message_id = CAST({id} AS BINARY))"
        )
    });
    let quoted = reply_to_seq.map_or("NULL".to_owned(), |seq| format!(quoted!("m.room_id", "{}"), seq));
    format!(
        "m.user_id, {tally} AS tally, (SELECT u.name FROM users u WHERE u.user_id = m.user_id) AS name,
         {is_sent} AS is_sent, m.role, {quoted} AS quoted, {mentioned} AS mentioned"
    )
}

/// Asks one question. With a list of one, the derived table would cost the server more than the rest.
fn sender_of_one(
    question: &Question<'_>,
    wanted: Wanted,
    (mentioned, named): (String, Vec<Value>),
) -> (String, Vec<Value>) {
    let (id, seq) = (question.client_message_id, question.reply_to_seq);
    let columns = found_columns(wanted, id.map(|_| "?"), seq.map(|_| "?"), &mentioned);
    let (sender, is_signed_in) = match question.session_id {
        Some(_) => ("sessions", "s.session_id = ? AND s.revoked_at IS NULL"),
        None => ("connections", "s.connection_id = ? AND s.expires_at > UTC_TIMESTAMP(3)"),
    };
    let sql = format!(
        "SELECT 0 AS place, {columns} FROM {sender} s FORCE INDEX (PRIMARY)
         STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = ? AND m.user_id = s.user_id
         WHERE {is_signed_in} LOCK IN SHARE MODE"
    );
    let mut params: Vec<Value> = id.map(Value::from).into_iter().chain(seq.map(Value::from)).collect();
    params.extend(named);
    params.push(question.room_id.into());
    params.push(question.session_id.or(question.connection_id.map(ConnectionId::as_str)).into());
    (sql, params)
}

/// Asks several questions. They are one parameter, so the server prepares one statement for lists of all lengths, and it
/// reads them faster than it would a `SELECT` for each. MySQL allows no `JSON_TABLE` beside `LOCK IN SHARE MODE`, but one in
/// a derived table.
fn senders_of_many(
    questions: &[Question<'_>],
    wanted: Wanted,
    (mentioned, mut params): (String, Vec<Value>),
) -> (String, Vec<Value>) {
    let has_ids = questions.iter().any(|question| question.client_message_id.is_some());
    let has_replies = questions.iter().any(|question| question.reply_to_seq.is_some());
    let columns = found_columns(
        wanted,
        has_ids.then_some("k.client_message_id"),
        has_replies.then_some("k.reply_to_seq"),
        &mentioned,
    );
    let sql = format!(
        "SELECT k.place, {columns}
         FROM (SELECT * FROM JSON_TABLE(?, '$[*]' COLUMNS (
                  place INT UNSIGNED PATH '$[0]', room_id BIGINT UNSIGNED PATH '$[1]',
                  session_id VARCHAR(64) PATH '$[2]', connection_id VARCHAR(64) PATH '$[3]',
                  client_message_id VARCHAR(64) PATH '$[4]', reply_to_seq BIGINT UNSIGNED PATH '$[5]')) j) k
         LEFT JOIN sessions s FORCE INDEX (PRIMARY) ON s.session_id = k.session_id AND s.revoked_at IS NULL
         LEFT JOIN connections c FORCE INDEX (PRIMARY) ON c.connection_id = k.connection_id
                AND c.expires_at > UTC_TIMESTAMP(3)
         STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = k.room_id
                AND m.user_id = COALESCE(s.user_id, c.user_id)
         LOCK IN SHARE MODE"
    );
    let rows = questions.iter().enumerate().map(|(place, question)| {
        let Question { room_id, session_id, connection_id, client_message_id, reply_to_seq } = question;
        (place, room_id, session_id, connection_id, client_message_id, reply_to_seq)
    });
    params.push(json_rows(rows));
    (sql, params)
}
