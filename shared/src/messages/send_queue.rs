//! The messages of a process that wait to be stored. Those that arrive while a transaction is under way are stored
//! together by the next one: a group commit. A process that handles one request at a time has batches of one.
//!
//! A room whose row another transaction has locked does not hold up the others: its messages wait in a lane of its own.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::{Semaphore, oneshot};

use crate::app::App;
use crate::base::db;
use crate::base::ids::{RoomId, UserId};
use crate::base::meters::meters;
use crate::base::socket::Socket;
use crate::messages::batch::{self, Batch, Outcome, Refusal, Stored};
use crate::messages::posts::Selected;
use crate::messages::senders::NewMessages;
use crate::{Error, Result};

/// The most messages of a batch, and about how many bytes of text (at least those of one request): far below the largest
/// packet of any server.
const BATCH_MESSAGES: usize = 64;
const BATCH_BYTES: usize = 1024 * 1024;
/// The most messages of one session or socket in a batch, at least those of one request, so that one who floods leaves
/// room for the others.
const BATCH_SHARE: usize = 8;
/// The most messages that may wait.
const MOST_WAITING: usize = 2048;
/// How many rooms may wait for their locks at once. Each takes a connection to the database.
const MOST_LANES: usize = 8;
/// How often a batch is tried when it meets a conflict with another transaction.
const ATTEMPTS: u32 = 3;

/// The requests whose messages wait.
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

/// A request that waits, and where its outcome goes.
#[derive(Debug)]
struct Waiting {
    request: NewMessages,
    reply: oneshot::Sender<Result<Reply>>,
}

/// What its sender is told about a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Its messages were stored. These are the open sockets of the room's members.
    Stored(Stored, Vec<Socket>),
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

/// Stores the messages of a request with the others that wait. Whoever called may stop waiting: they are stored all the
/// same.
///
/// # Errors
/// [`Error::Overloaded`] when too many messages wait, and the database's errors.
pub(crate) async fn store(app: &App, request: NewMessages) -> Result<Reply> {
    let queue = app.singletons.get::<SendQueue>();
    let (reply, answer) = oneshot::channel();
    queue.add(app, Waiting { request, reply })?;
    answer.await.unwrap_or_else(|_| Err(Error::internal("the task that stores messages has panicked")))
}

/// How many messages wait to be stored.
pub fn waiting(app: &App) -> usize {
    app.singletons.get::<SendQueue>().state().count
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
        state.count += waiting.request.count();
        if let Some(lane) = state.lanes.get_mut(&waiting.request.draft.room_id) {
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
        state.count -= count(&batch);
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
        let (requests, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Waiting { request, reply }| (request, reply)).unzip();
        meters().batch.record(requests.iter().map(NewMessages::count).sum::<usize>() as f64);
        let together = store_requests(app, &requests, waits).await;
        let requests = requests.into_iter().zip(replies);
        let requests = requests.map(|(request, reply)| Waiting { request, reply }).collect::<Vec<_>>();
        match together {
            Ok(stored) => self.settle(app, requests, stored, waits),
            // In a lane, each room's messages are tried again.
            Err(error) if is_conflict(&error) && !waits => self.set_aside(app, requests),
            // Each request is then stored by itself, so that one which fails does not touch the others. While the
            // database does not answer, that would only take longer.
            Err(error) if requests.len() > 1 && !matches!(error, Error::DatabaseUnavailable(_)) => {
                for waiting in requests {
                    match store_requests(app, std::slice::from_ref(&waiting.request), waits).await {
                        Ok(stored) => self.settle(app, vec![waiting], stored, waits),
                        Err(error) if is_conflict(&error) && !waits => self.set_aside(app, vec![waiting]),
                        Err(error) => _ = waiting.reply.send(Err(error)),
                    }
                }
            }
            Err(error) => {
                let errors = std::iter::once(error).chain(std::iter::repeat_with(unavailable));
                for (waiting, error) in requests.into_iter().zip(errors) {
                    _ = waiting.reply.send(Err(error));
                }
            }
        }
    }

    /// Answers the senders of a batch in a task, so that the next batch does not wait. Sets the messages to
    /// locked rooms aside.
    fn settle(
        self: &Arc<Self>,
        app: &App,
        requests: Vec<Waiting>,
        (outcomes, selected): (Vec<Outcome>, Option<Selected>),
        waits: bool,
    ) {
        let (locked, decided): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .zip(outcomes)
            .partition(|(_, outcome)| matches!(outcome, Outcome::NoRoom) && !waits);
        if !locked.is_empty() {
            self.set_aside(app, locked.into_iter().map(|(waiting, _)| waiting).collect());
        }
        if !decided.is_empty() {
            tokio::spawn(answer(app.clone(), decided, selected));
        }
    }

    /// Lets messages wait for their rooms in lanes.
    fn set_aside(self: &Arc<Self>, app: &App, requests: Vec<Waiting>) {
        let mut state = self.state();
        let state = &mut *state;
        state.count += count(&requests);
        let mut new = BTreeSet::new();
        for waiting in requests {
            let room_id = waiting.request.draft.room_id;
            let lane = state.lanes.entry(room_id).or_insert_with(|| {
                new.insert(room_id);
                VecDeque::new()
            });
            lane.push_back(waiting);
        }
        // What was sent to these rooms meanwhile comes after it.
        let waiting = std::mem::take(&mut state.waiting);
        for waiting in waiting {
            match state.lanes.get_mut(&waiting.request.draft.room_id) {
                Some(lane) => lane.push_back(waiting),
                None => state.waiting.push_back(waiting),
            }
        }
        for room_id in new {
            tokio::spawn(Arc::clone(self).store_lane(app.clone(), room_id));
        }
    }
}

/// How many messages these requests have.
fn count<'a>(requests: impl IntoIterator<Item = &'a Waiting>) -> usize {
    requests.into_iter().map(|waiting| waiting.request.count()).sum()
}

/// Takes the next requests of a batch. Those of one sender keep their order.
fn take_batch(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let (mut batch, mut left) = (Vec::new(), VecDeque::new());
    let (mut shares, mut messages, mut bytes) = (HashMap::<String, usize>::new(), 0, 0);
    while let Some(next) = waiting.pop_front() {
        let number = next.request.count();
        let share = shares.entry(next.request.sender().to_owned()).or_default();
        if *share > 0 && *share + number > BATCH_SHARE {
            // The sender's later requests are left too.
            *share = BATCH_SHARE;
            left.push_back(next);
            continue;
        }
        messages += number;
        bytes += next.request.bytes();
        if (messages > BATCH_MESSAGES || bytes > BATCH_BYTES) && !batch.is_empty() {
            left.push_back(next);
            break;
        }
        *share += number;
        batch.push(next);
    }
    left.append(waiting);
    *waiting = left;
    batch
}

async fn store_requests(
    app: &App,
    requests: &[NewMessages],
    waits: bool,
) -> Result<(Vec<Outcome>, Option<Selected>)> {
    let batch = Batch { requests, limits: Some(&app.config.limits), waits };
    if waits {
        return app.db.retry(|| batch::store(&app.db, batch).boxed()).await;
    }
    for _ in 1..ATTEMPTS {
        match batch::store(&app.db, batch).await {
            // Another try waits no longer, unlike after a lock that was not granted in time.
            Err(error) if db::is_deadlock(&error) => {}
            stored => return stored,
        }
    }
    batch::store(&app.db, batch).await
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
async fn answer(app: App, decided: Vec<(Waiting, Outcome)>, selected: Option<Selected>) {
    let sockets = match selected {
        Some(selected) => selected.sockets(&app.db, app.config.limits.room_posts).await,
        None => Ok(HashMap::new()),
    };
    for (waiting, outcome) in decided {
        let reply = match outcome {
            Outcome::Stored(stored) => match &sockets {
                Ok(sockets) => {
                    let sockets = sockets.get(&waiting.request.draft.room_id).cloned().unwrap_or_default();
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
        state.count -= count(&dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fields::Fields;
    use crate::base::ids::ConnectionId;
    use crate::messages::draft::{Draft, DraftList, Sender};
    use serde_json::json;

    fn waiting(sender: &str, number: usize, bytes: usize) -> Waiting {
        let content = format!("{number:0bytes$}");
        waiting_draft(sender, Fields::parse(json!({"roomId": 1, "content": content})).unwrap())
    }

    fn waiting_list(sender: &str, number: usize, count: usize) -> Waiting {
        let messages = vec![json!({"content": number.to_string()}); count];
        let DraftList(draft) = Fields::parse(json!({"roomId": 1, "messages": messages})).unwrap();
        waiting_draft(sender, draft)
    }

    fn waiting_draft(sender: &str, draft: Draft) -> Waiting {
        let socket = ConnectionId::new(sender.to_owned());
        Waiting { request: NewMessages::new(Sender::Socket(&socket), draft), reply: oneshot::channel().0 }
    }

    fn senders(batch: &[Waiting]) -> Vec<&str> {
        batch.iter().map(|waiting| waiting.request.sender()).collect()
    }

    fn numbers(batch: &[Waiting]) -> Vec<usize> {
        batch
            .iter()
            .map(|waiting| waiting.request.draft.messages[0].content.as_str().parse().unwrap())
            .collect()
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
    fn the_messages_of_a_request_stay_together_and_no_later_one_of_their_sender_overtakes_them() {
        let mut queue =
            VecDeque::from([waiting("ann", 1, 1), waiting_list("ann", 2, 20), waiting("ann", 3, 1)]);
        queue.push_back(waiting("bob", 4, 1));
        queue.extend((5..9).map(|number| waiting_list(&number.to_string(), number, 20)));
        assert_eq!(numbers(&take_batch(&mut queue)), [1, 4, 5, 6, 7]);
        assert_eq!(numbers(&take_batch(&mut queue)), [2, 8]);
        assert_eq!(numbers(&take_batch(&mut queue)), [3]);
    }

    #[test]
    fn what_waits_for_its_senders_share_takes_no_room_from_the_others() {
        let large = |number: usize| {
            let messages = vec![json!({"content": "\u{1f600}".repeat(8000)}); 20];
            let DraftList(draft) = Fields::parse(json!({"roomId": number, "messages": messages})).unwrap();
            waiting_draft("ann", draft)
        };
        let mut queue = VecDeque::from([large(1), large(2), waiting("bob", 3, 1)]);
        assert_eq!(senders(&take_batch(&mut queue)), ["ann", "bob"]);
        assert_eq!(senders(&take_batch(&mut queue)), ["ann"]);
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
                waiting.request.draft.messages[0].content = four_bytes;
                waiting
            })
            .collect();
        assert_eq!(take_batch(&mut queue).len(), 32);
        assert_eq!(queue.len(), 168);
    }
}
