//! The messages of a process that wait to be stored. Those that arrive while a transaction is under way are stored
//! together by the next one: a group commit. A process that handles one request at a time has batches of one.
//!
//! A room whose row another transaction has locked does not hold up the others: its messages wait in a lane of its own.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mysql_async::TxOpts;
use tokio::sync::{Semaphore, oneshot};

use crate::app::App;
use crate::base::db;
use crate::base::ids::{ConnectionId, RoomId, UserId};
use crate::messages::batch::{self, Batch, NewMessage, Outcome, Refusal, Stored};
use crate::messages::posts;
use crate::{Error, Result};

/// The most messages of a batch, and about how many bytes of text: far below the largest packet of any server.
const BATCH_MESSAGES: usize = 64;
const BATCH_BYTES: usize = 1024 * 1024;
/// The most messages of one session or socket in a batch, so that one who floods leaves room for the others.
const BATCH_SHARE: usize = 8;
/// The most messages that may wait.
const MOST_WAITING: usize = 2048;
/// How many rooms may wait for their locks at once. Each takes a connection to the database.
const MOST_LANES: usize = 8;
/// How often a batch is tried when it meets a conflict with another transaction.
const ATTEMPTS: u32 = 3;

/// The messages that wait.
#[derive(Debug)]
pub(crate) struct SendQueue {
    state: Mutex<State>,
    /// The lanes that may hold a connection.
    lanes: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Whether a task stores what waits. It goes on until nothing does.
    is_storing: bool,
    /// The messages to rooms that were locked. A task stores each room's.
    lanes: HashMap<RoomId, VecDeque<Waiting>>,
    /// How many messages wait here and in the lanes.
    count: usize,
}

/// A message that waits, and where its outcome goes.
#[derive(Debug)]
struct Waiting {
    message: NewMessage,
    reply: oneshot::Sender<Result<Reply>>,
}

/// What its sender is told about a message.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It was stored. These are the open sockets of the room's members.
    Stored(Stored, Vec<ConnectionId>),
    /// See [`Outcome::NotAllowed`]; also if there is no such room.
    NotAllowed,
    /// See [`Outcome::Refused`].
    Refused(UserId, Refusal),
    /// See [`Outcome::NoWindow`].
    NoWindow(UserId),
}

impl Default for SendQueue {
    fn default() -> Self {
        Self { state: Mutex::default(), lanes: Arc::new(Semaphore::new(MOST_LANES)) }
    }
}

/// Stores a message with the others that wait. Whoever called may stop waiting: the message is stored all the same.
///
/// # Errors
/// [`Error::Overloaded`] when too many messages wait, and the database's errors.
pub(crate) async fn store(app: &App, message: NewMessage) -> Result<Reply> {
    let queue = app.singletons.get::<SendQueue>();
    let (reply, answer) = oneshot::channel();
    queue.add(app, Waiting { message, reply })?;
    answer.await.unwrap_or_else(|_| Err(Error::internal("the task that stores messages has panicked")))
}

impl SendQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, app: &App, waiting: Waiting) -> Result<()> {
        let mut state = self.state();
        if state.count >= MOST_WAITING {
            return Err(Error::Overloaded { retry_after: 1 });
        }
        state.count += 1;
        if let Some(lane) = state.lanes.get_mut(&waiting.message.draft.room_id) {
            lane.push_back(waiting);
            return Ok(());
        }
        state.waiting.push_back(waiting);
        if !std::mem::replace(&mut state.is_storing, true) {
            tokio::spawn(Arc::clone(self).store_waiting(app.clone()));
        }
        Ok(())
    }

    /// Stores what waits, batch by batch, until nothing does.
    async fn store_waiting(self: Arc<Self>, app: App) {
        let _ended = Ended { queue: &self, lane: None };
        // A process with one connection has no other room to hold up.
        let waits = app.db.connections() == 1;
        while let Some(batch) = self.next_batch(None) {
            self.store_batch(&app, batch, waits).await;
        }
    }

    /// Stores what waits for a locked room, until nothing does.
    async fn store_lane(self: Arc<Self>, app: App, room_id: RoomId) {
        let _ended = Ended { queue: &self, lane: Some(room_id) };
        // The semaphore is never closed.
        let _permit = self.lanes.acquire().await;
        while let Some(batch) = self.next_batch(Some(room_id)) {
            self.store_batch(&app, batch, true).await;
        }
    }

    /// Takes the next messages that wait, in order, as far as the bounds of a batch allow. When none waits, the task
    /// ends, and the next message begins another.
    fn next_batch(&self, lane: Option<RoomId>) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        let state = &mut *state;
        let waiting = match lane {
            Some(room_id) => state.lanes.get_mut(&room_id)?,
            None => &mut state.waiting,
        };
        let batch = take_batch(waiting);
        state.count -= batch.len();
        if batch.is_empty() {
            match lane {
                Some(room_id) => _ = state.lanes.remove(&room_id),
                None => state.is_storing = false,
            }
            return None;
        }
        Some(batch)
    }

    /// Stores a batch and answers its senders.
    async fn store_batch(self: &Arc<Self>, app: &App, batch: Vec<Waiting>, waits: bool) {
        let (messages, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Waiting { message, reply }| (message, reply)).unzip();
        let together = store_messages(app, &messages, waits).await;
        let messages = messages.into_iter().zip(replies);
        let messages = messages.map(|(message, reply)| Waiting { message, reply }).collect::<Vec<_>>();
        match together {
            Ok(outcomes) => self.settle(app, messages, outcomes, waits),
            // In a lane, each room's messages are tried again.
            Err(error) if is_conflict(&error) && !waits => self.set_aside(app, messages),
            // Each message is then stored by itself, so that one which fails does not touch the others. While the
            // database does not answer, that would only take longer.
            Err(error) if messages.len() > 1 && !matches!(error, Error::DatabaseUnavailable(_)) => {
                for waiting in messages {
                    match store_messages(app, std::slice::from_ref(&waiting.message), waits).await {
                        Ok(outcomes) => self.settle(app, vec![waiting], outcomes, waits),
                        Err(error) if is_conflict(&error) && !waits => self.set_aside(app, vec![waiting]),
                        Err(error) => _ = waiting.reply.send(Err(error)),
                    }
                }
            }
            Err(error) => {
                let errors = std::iter::once(error).chain(std::iter::repeat_with(unavailable));
                for (waiting, error) in messages.into_iter().zip(errors) {
                    _ = waiting.reply.send(Err(error));
                }
            }
        }
    }

    /// Answers the senders of a batch in a task, so that the next batch does not wait. Sets aside the messages to locked
    /// rooms.
    fn settle(self: &Arc<Self>, app: &App, messages: Vec<Waiting>, outcomes: Vec<Outcome>, waits: bool) {
        let (locked, decided): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .zip(outcomes)
            .partition(|(_, outcome)| matches!(outcome, Outcome::NoRoom) && !waits);
        if !locked.is_empty() {
            self.set_aside(app, locked.into_iter().map(|(waiting, _)| waiting).collect());
        }
        if !decided.is_empty() {
            tokio::spawn(answer(app.clone(), decided));
        }
    }

    /// Lets messages wait for their rooms in lanes.
    fn set_aside(self: &Arc<Self>, app: &App, messages: Vec<Waiting>) {
        let mut state = self.state();
        let state = &mut *state;
        state.count += messages.len();
        let mut new = BTreeSet::new();
        for waiting in messages {
            let room_id = waiting.message.draft.room_id;
            let lane = state.lanes.entry(room_id).or_insert_with(|| {
                new.insert(room_id);
                VecDeque::new()
            });
            lane.push_back(waiting);
        }
        // What was sent to these rooms meanwhile comes after it.
        let waiting = std::mem::take(&mut state.waiting);
        for waiting in waiting {
            match state.lanes.get_mut(&waiting.message.draft.room_id) {
                Some(lane) => lane.push_back(waiting),
                None => state.waiting.push_back(waiting),
            }
        }
        for room_id in new {
            tokio::spawn(Arc::clone(self).store_lane(app.clone(), room_id));
        }
    }
}

/// Takes the next messages of a batch.
fn take_batch(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let (mut batch, mut left) = (Vec::new(), VecDeque::new());
    let (mut shares, mut bytes) = (HashMap::<String, usize>::new(), 0);
    while let Some(next) = waiting.pop_front() {
        bytes += next.message.draft.content.as_str().len();
        if batch.len() == BATCH_MESSAGES || (bytes > BATCH_BYTES && !batch.is_empty()) {
            left.push_back(next);
            break;
        }
        let share = shares.entry(next.message.sender().to_owned()).or_default();
        if *share == BATCH_SHARE {
            left.push_back(next);
            continue;
        }
        *share += 1;
        batch.push(next);
    }
    left.append(waiting);
    *waiting = left;
    batch
}

async fn store_messages(app: &App, messages: &[NewMessage], waits: bool) -> Result<Vec<Outcome>> {
    let batch = Batch { messages, limits: Some(&app.config.limits), waits };
    if waits {
        return app.db.transaction(batch, batch::store).await;
    }
    for _ in 1..ATTEMPTS {
        match app.db.try_transaction(TxOpts::default(), batch, &batch::store).await {
            // Another try waits no longer, unlike after a lock that was not granted in time.
            Err(error) if db::is_deadlock(&error) => {}
            stored => return stored,
        }
    }
    app.db.try_transaction(TxOpts::default(), batch, &batch::store).await
}

/// Whether a transaction with new locks, or on a new connection, may succeed.
fn is_conflict(error: &Error) -> bool {
    db::passes_at_once(error) || db::is_read_only(error)
}

/// The error of all messages of a batch but one, which gets the database's.
fn unavailable() -> Error {
    Error::DatabaseUnavailable(mysql_async::Error::Other("a message of the same batch has the cause".into()))
}

/// Tells the senders what became of their messages.
async fn answer(app: App, decided: Vec<(Waiting, Outcome)>) {
    let is_stored = |outcome: &Outcome| matches!(outcome, Outcome::Stored(_));
    let told = decided.iter().filter(|(_, outcome)| is_stored(outcome));
    let rooms: BTreeSet<RoomId> = told.map(|(waiting, _)| waiting.message.draft.room_id).collect();
    let rooms: Vec<RoomId> = rooms.into_iter().collect();
    let sockets = posts::sockets(&app.db, app.config.limits.room_posts, &rooms).await;
    for (waiting, outcome) in decided {
        let reply = match outcome {
            Outcome::Stored(stored) => match &sockets {
                Ok(sockets) => {
                    let sockets = sockets.get(&waiting.message.draft.room_id).cloned().unwrap_or_default();
                    Ok(Reply::Stored(stored, sockets))
                }
                // It is stored: `sync` and a repeated send find it.
                Err(error) => {
                    error.log();
                    Err(unavailable())
                }
            },
            Outcome::Refused(user_id, refusal) => Ok(Reply::Refused(user_id, refusal)),
            Outcome::NoWindow(user_id) => Ok(Reply::NoWindow(user_id)),
            Outcome::NotAllowed | Outcome::NoRoom => Ok(Reply::NotAllowed),
        };
        // The sender may have gone.
        _ = waiting.reply.send(reply);
    }
}

/// What a task that stores messages leaves behind when it panics: nothing that waits for ever.
struct Ended<'a> {
    queue: &'a SendQueue,
    lane: Option<RoomId>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut state = self.queue.state();
        let dropped = match self.lane {
            Some(room_id) => state.lanes.remove(&room_id).unwrap_or_default(),
            None => {
                state.is_storing = false;
                std::mem::take(&mut state.waiting)
            }
        };
        state.count -= dropped.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fields::Fields;
    use crate::messages::draft::{Draft, Sender};
    use serde_json::json;

    fn waiting(sender: &str, number: usize, bytes: usize) -> Waiting {
        let content = format!("{number:0bytes$}");
        let draft: Draft = Fields::parse(json!({"roomId": 1, "content": content})).unwrap();
        let socket = ConnectionId::new(sender.to_owned());
        Waiting { message: NewMessage::new(Sender::Socket(&socket), draft), reply: oneshot::channel().0 }
    }

    fn senders(batch: &[Waiting]) -> Vec<&str> {
        batch.iter().map(|waiting| waiting.message.sender()).collect()
    }

    fn numbers(batch: &[Waiting]) -> Vec<usize> {
        batch.iter().map(|waiting| waiting.message.draft.content.as_str().parse().unwrap()).collect()
    }

    #[test]
    fn a_sender_who_floods_leaves_room_for_the_others_and_keeps_the_order() {
        let mut queue: VecDeque<_> = (0..100).map(|number| waiting("ann", number, 3)).collect();
        queue.extend((0..3).map(|number| waiting("bob", number, 3)));
        let batch = take_batch(&mut queue);
        assert_eq!(numbers(&batch), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2]);
        assert_eq!(senders(&batch)[8..], ["bob"; 3]);
        assert_eq!(numbers(&take_batch(&mut queue)), (8..16).collect::<Vec<_>>());
        assert_eq!(queue.len(), 84);
    }

    #[test]
    fn a_batch_has_at_most_64_messages_and_a_megabyte() {
        let many = |bytes| (0..200).map(move |number| waiting(&format!("socket {number}"), number, bytes));
        let mut queue: VecDeque<_> = many(3).collect();
        assert_eq!(numbers(&take_batch(&mut queue)), (0..64).collect::<Vec<_>>());
        assert_eq!(numbers(&take_batch(&mut queue)), (64..128).collect::<Vec<_>>());
        let mut queue: VecDeque<_> = many(8000)
            .map(|mut waiting| {
                let four_bytes = "\u{1f600}".repeat(8000).try_into().unwrap();
                waiting.message.draft.content = four_bytes;
                waiting
            })
            .collect();
        assert_eq!(take_batch(&mut queue).len(), 32);
        assert_eq!(queue.len(), 168);
    }
}
