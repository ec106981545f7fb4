//! Stores messages: a batch of them in one transaction, with as many statements as for one message
//! (`docs/contract.md`, "Messages", "Order and numbers" and "Repeatable sends").
//!
//! The rooms are locked first. What decides about a message is read after that, and is locked too, so that nothing
//! commits once a logout or a removal has been answered. Each request is then decided by itself: a refused one takes
//! no number and does not touch the others. The messages of one request are stored all, in their order and with
//! consecutive numbers, or none of them is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use chrono::NaiveDateTime;
use mysql_async::Value;
use mysql_async::prelude::Queryable;

use crate::base::db::{Db, duplicate_key, listed, rows};
use crate::base::ids::{RoomId, UserId};
use crate::base::rate_limit::{Count, MOST};
use crate::base::time;
use crate::base::transaction::{Isolation, Transaction};
use crate::config::{Limit, Limits};
use crate::error::Standing;
use crate::messages::draft::Words;
use crate::messages::locked_rooms::{self, OfMessages, Room};
use crate::messages::mentions::{self, Mentioning};
use crate::messages::message::{MessageId, Quoted};
use crate::messages::posts::{self, PostsCount, Selected};
use crate::messages::senders::{self, Answer, Asked, Found, NewMessages, Questions, Senders};
use crate::messages::slow_mode::Pauses;
use crate::{Error, Result};

/// Requests whose messages are stored together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) requests: &'a [NewMessages],
    /// `None` for messages that were counted before.
    pub(crate) limits: Option<&'a Limits>,
    /// Whether to wait for rooms that another transaction has locked, instead of leaving out their messages.
    pub(crate) waits: bool,
}

/// What became of the messages of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// They were stored.
    Stored(Stored),
    /// The sender may not send them to this room, or not at all.
    NotAllowed,
    /// They were refused for this reason, and are not counted.
    Refused(UserId, Refusal),
    /// The sender's window of `MESSAGE_LIMIT` has no row that could be locked.
    NoWindow(UserId),
    /// There is no such room, or another transaction has locked it.
    NoRoom,
}

/// Where and when messages were stored, and their sender.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The number of the first message. The others follow it without a gap.
    pub(crate) seq: u64,
    pub(crate) created_at: NaiveDateTime,
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    /// The message that each of them replies to.
    pub(crate) quoted: Vec<Option<Quoted>>,
}

/// Why messages were refused to somebody who may send to the room.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The request's `userId` is somebody else's.
    IdentityMismatch,
    /// `MESSAGE_LIMIT`.
    MessageLimit(Standing),
    /// `ROOM_POSTS_LIMIT`.
    PostsLimit(Standing),
    /// The message at this place of the request replies to no message of the room.
    NoSuchReply(usize),
    /// The sender has already used a `clientMessageId` of the request in this room.
    SentBefore,
    /// The room is in slow mode, and the sender's pause is not over.
    SlowMode(Standing),
    /// A message mentions all, and the sender's role in the room is too low.
    MentionsAll(Error),
    /// The message at this place of the request mentions somebody who is no member of the room.
    NoMember(usize, UserId),
}

/// Stores the messages of those requests that may be sent, in a transaction of its own, and counts them and their posts.
/// Returns what became of each request, in order, and, if any message was stored, the sockets of its room.
///
/// It takes three round trips, whatever the size of the batch: the rooms are locked and the senders are found together
/// with the beginning of the transaction, and what the messages change in the rooms is written together with the commit,
/// after which the sockets are selected. Slow mode, mentions and repeated messages take more.
///
/// # Errors
/// The database's. Then nothing is stored, unless the connection was lost, or the time was over, during the commit.
pub(crate) async fn store(db: &Db, batch: Batch<'_>) -> Result<(Vec<Outcome>, Option<Selected>)> {
    let start = Instant::now();
    let asking = Asking::of(batch);
    let (mut transaction, answers) = db.begin(Isolation::default(), Some(&asking.statement())).await?;
    let stored = async move {
        match insert_allowed(&mut transaction, asking.answered(answers)).await {
            Ok((outcomes, changes)) if changes.is_empty() => {
                transaction.commit().await?;
                Ok((outcomes, None))
            }
            Ok((outcomes, changes)) => {
                let rooms: Vec<RoomId> = stored_in(batch, &outcomes).into_iter().collect();
                let committed = transaction.commit_with(&changes, &posts::select(&listed(&rooms))).await?;
                Ok((outcomes, Some(Selected { committed, rooms })))
            }
            Err(error) => Err(transaction.undo(error).await),
        }
    };
    db.within_its_time(start, stored).await
}

/// Works like [`store`], as a part of a transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn store_within(transaction: &mut Transaction, batch: Batch<'_>) -> Result<Vec<Outcome>> {
    let asking = Asking::of(batch);
    let answers = transaction.query(asking.statement()).await?;
    let (outcomes, changes) = insert_allowed(transaction, asking.answered(answers)).await?;
    if !changes.is_empty() {
        transaction.query_drop(changes.join("; ")).await?;
    }
    Ok(outcomes)
}

/// The rooms in which messages were stored.
fn stored_in(batch: Batch<'_>, outcomes: &[Outcome]) -> BTreeSet<RoomId> {
    let requests = batch.requests.iter().zip(outcomes);
    let stored = requests.filter(|(_, outcome)| matches!(outcome, Outcome::Stored(_)));
    stored.map(|(request, _)| request.draft.room_id).collect()
}

/// A batch, and what it asks the database at first.
struct Asking<'a> {
    batch: Batch<'a>,
    asked: Vec<Asked<'a>>,
    questions: Questions<'a>,
}

impl<'a> Asking<'a> {
    fn of(batch: Batch<'a>) -> Self {
        let requests = batch.requests.iter().enumerate();
        let messages = requests.flat_map(|(place, request)| {
            request.draft.messages.iter().map(move |words| Asked { place, request, words })
        });
        let asked: Vec<Asked<'_>> = messages.collect();
        let questions = Questions::about(&asked);
        Self { batch, asked, questions }
    }

    fn statement(&self) -> String {
        let is_limited = self.batch.limits.is_some_and(|limits| limits.message.is_some());
        self.questions.select(self.batch.waits, is_limited)
    }

    fn answered(self, answers: Vec<Answer>) -> Locked<'a> {
        let (rooms, senders) = self.questions.answered(answers);
        Locked { batch: self.batch, asked: self.asked, rooms, senders }
    }
}

/// Inserts the messages of those requests that may be sent. Returns what becomes of each request, in order, and the
/// statements that are to be run before the commit.
async fn insert_allowed(
    transaction: &mut Transaction,
    locked: Locked<'_>,
) -> Result<(Vec<Outcome>, Vec<String>)> {
    let senders = locked.senders.of_messages();
    let messages =
        || locked.asked.iter().zip(&senders).filter_map(|(asked, sender)| Some((asked, (*sender)?)));
    let named = messages().map(|(asked, _)| (asked.request.draft.room_id, &asked.words.mentions));
    let members = mentions::members(transaction, named).await?;
    let slowed = messages().filter_map(|(asked, sender)| {
        let room = locked.rooms.get(&asked.request.draft.room_id)?;
        Some((room.id, room.slow_mode_seconds, &sender.user_id))
    });
    let pauses = Pauses::read(transaction, slowed.collect()).await?;
    let created_at = time::now();
    let mut have_sent = None;
    let Decided { rooms, outcomes, counts, new, .. } = loop {
        let decided = locked.decide(&senders, &members, pauses.clone(), have_sent.as_deref(), created_at);
        if !decided.depends_on_ids && insert(transaction, &decided.new, created_at).await? {
            break decided;
        }
        if have_sent.is_some() {
            return Err(Error::internal("a clientMessageId was looked up, and yet it was sent before"));
        }
        have_sent = Some(senders::have_sent(transaction, &locked.asked, &senders).await?);
    };
    if new.is_empty() {
        return Ok((outcomes, Vec::new()));
    }
    counts.pauses.write(transaction).await?;
    mentions::insert(transaction, new.iter().map(|new| new.mentioning(created_at))).await?;
    let mut replies = OfMessages::new();
    for reply_to in new.iter().filter_map(|new| new.asked.words.reply_to) {
        *replies.entry(reply_to).or_default() += 1;
    }
    // One message of each sender stands for their window.
    let own: HashMap<&UserId, MessageId> = new.iter().map(|new| (&new.user_id, new.id())).collect();
    let windows = counts.tallies.iter().filter_map(|(user_id, tally)| Some((*own.get(user_id)?, *tally)));
    let changed = rooms.values().filter(|room| room.is_changed);
    let changes = locked_rooms::advance(changed, &windows.collect(), &replies, created_at);
    Ok((outcomes, changes))
}

/// A batch whose rooms are locked.
struct Locked<'a> {
    batch: Batch<'a>,
    asked: Vec<Asked<'a>>,
    rooms: HashMap<RoomId, Room>,
    senders: Senders,
}

/// What becomes of the requests of a batch.
struct Decided<'a> {
    /// The rooms after it.
    rooms: HashMap<RoomId, Room>,
    /// One for each request, in order.
    outcomes: Vec<Outcome>,
    counts: Counts,
    /// The messages to store.
    new: Vec<New<'a>>,
    /// Whether a request was refused that is answered with its messages if they were sent before, which nobody has looked
    /// up yet.
    depends_on_ids: bool,
}

impl Locked<'_> {
    /// Decides about the requests. `members` are those of the mentioned users who are members, each with the room.
    /// `have_sent` tells of each message whether it was sent before. Without it none was: if that is wrong, [`insert`] tells,
    /// so that in almost all batches no `clientMessageId` is looked up.
    fn decide(
        &self,
        senders: &[Option<&Found>],
        members: &BTreeSet<(RoomId, UserId)>,
        pauses: Pauses,
        have_sent: Option<&[bool]>,
        created_at: NaiveDateTime,
    ) -> Decided<'_> {
        let mut rooms = self.rooms.clone();
        let undecided = |request: &NewMessages| match rooms.contains_key(&request.draft.room_id) {
            true => Outcome::NotAllowed,
            false => Outcome::NoRoom,
        };
        let mut outcomes: Vec<Outcome> = self.batch.requests.iter().map(undecided).collect();
        let mut counts = Counts { pauses, ..Counts::now(self.batch.limits) };
        let mut senders = senders.iter().copied();
        let mut were_sent = (0..self.asked.len()).map(|place| have_sent.is_some_and(|sent| sent[place]));
        let mut new = Vec::with_capacity(self.asked.len());
        let mut depends_on_ids = false;
        // Of those that are stored here: a refused message does not use up its id.
        let mut ids = HashSet::new();
        for messages in self.asked.chunk_by(|one, next| one.place == next.place) {
            // The sender was found for all messages of a request, or for none.
            let found: Vec<Option<&Found>> = senders.by_ref().take(messages.len()).collect();
            let was_sent =
                were_sent.by_ref().take(messages.len()).fold(false, |any, was_sent| any | was_sent);
            let found: Option<Vec<&Found>> = found.into_iter().collect();
            let (Some(found), Some(Asked { place, request, .. })) = (found, messages.first()) else {
                continue;
            };
            let draft = &request.draft;
            let Some(room) = rooms.get_mut(&draft.room_id) else { continue };
            if draft.only.is_some_and(|only| only != room.kind) {
                continue;
            }
            let room_id = room.id;
            let Some(Found { user_id, name, .. }) = found.first() else { continue };
            let own = messages.iter().filter_map(|message| message.words.client_message_id.as_ref());
            let own: Vec<_> = own.map(|id| (room_id, user_id, id.as_str())).collect();
            let is_sent = was_sent || own.iter().any(|id| ids.contains(id));
            let may_mention = may_mention(room, &found, &draft.messages, members);
            outcomes[*place] = match counts.decide(request, &found, is_sent, may_mention, room) {
                Ok(seq) => {
                    ids.extend(own);
                    let numbered = messages.iter().zip(seq..);
                    new.extend(numbered.map(|(asked, seq)| New { asked, seq, user_id: user_id.clone() }));
                    let quoted = found.iter().map(|sender| sender.quoted(room_id)).collect();
                    let (user_id, name) = (user_id.clone(), name.clone());
                    Outcome::Stored(Stored { seq, created_at, user_id, name, quoted })
                }
                Err(outcome) => {
                    let comes_after_ids = matches!(
                        outcome,
                        Outcome::Refused(
                            _,
                            Refusal::MentionsAll(_) | Refusal::NoMember(..) | Refusal::SlowMode(_)
                        )
                    );
                    depends_on_ids |= comes_after_ids && have_sent.is_none() && !own.is_empty();
                    outcome
                }
            };
        }
        Decided { rooms, outcomes, counts, new, depends_on_ids }
    }
}

/// One message of a batch that is stored, with its number and its sender.
struct New<'a> {
    asked: &'a Asked<'a>,
    seq: u64,
    user_id: UserId,
}

impl New<'_> {
    fn id(&self) -> MessageId {
        MessageId { room_id: self.asked.request.draft.room_id, seq: self.seq }
    }

    fn mentioning(&self, created_at: NaiveDateTime) -> Mentioning<'_> {
        let words = self.asked.words;
        Mentioning {
            id: self.id(),
            sender_id: &self.user_id,
            created_at,
            mentions: &words.mentions,
            mentions_all: words.mentions_all,
        }
    }
}

/// Checks whether a sender may mention those whom the messages of a request mention.
fn may_mention(
    room: &Room,
    senders: &[&Found],
    messages: &[Words],
    members: &BTreeSet<(RoomId, UserId)>,
) -> Result<(), Refusal> {
    for (place, (sender, words)) in senders.iter().zip(messages).enumerate() {
        if words.mentions_all {
            mentions::check_role(room.kind, sender.role).map_err(Refusal::MentionsAll)?;
        }
        let mut named = words.mentions.0.iter();
        if let Some(user_id) = named.find(|user_id| !members.contains(&(room.id, (*user_id).clone()))) {
            return Err(Refusal::NoMember(place, user_id.clone()));
        }
    }
    Ok(())
}

/// The limits, and how much of them the messages so far have used.
struct Counts {
    message: Option<(Limit, Count)>,
    posts: PostsCount,
    pauses: Pauses,
    /// The windows of `MESSAGE_LIMIT` of the senders whose messages are stored.
    tallies: HashMap<UserId, u64>,
}

impl Counts {
    fn now(limits: Option<&Limits>) -> Self {
        Self {
            message: limits.and_then(|limits| limits.message).map(|limit| (limit, Count::now(limit))),
            posts: PostsCount::now(limits.and_then(|limits| limits.room_posts)),
            pauses: Pauses::default(),
            tallies: HashMap::new(),
        }
    }

    /// Takes the numbers of the messages of a request and their places in the limits, unless they are refused. `senders`
    /// are the rows of their sender, one for each message. Returns the first number.
    fn decide(
        &mut self,
        request: &NewMessages,
        senders: &[&Found],
        is_sent: bool,
        may_mention: Result<(), Refusal>,
        room: &mut Room,
    ) -> Result<u64, Outcome> {
        let Some(Found { user_id, tally, .. }) = senders.first() else { return Err(Outcome::NotAllowed) };
        let refused = |refusal| Err(Outcome::Refused(user_id.clone(), refusal));
        if request.draft.user_id.as_ref().is_some_and(|given| given != user_id) {
            return refused(Refusal::IdentityMismatch);
        }
        let number = senders.len() as u32;
        let mut counted = None;
        if let Some((limit, count)) = &self.message {
            let Some(tally) = self.tallies.get(user_id).copied().or(*tally) else {
                return Err(Outcome::NoWindow(user_id.clone()));
            };
            if count.used(tally) + number > limit.count {
                return refused(Refusal::MessageLimit(count.standing(*limit, tally)));
            }
            let opened = if tally < count.closed { count.fresh - 1 } else { tally };
            counted = Some(opened + u64::from(number));
        }
        let posts = room.audience.saturating_mul(number).min(MOST as u32);
        if let Some(standing) = self.posts.refusal(room.posts_tally, posts) {
            return refused(Refusal::PostsLimit(standing));
        }
        let is_lost =
            |(sender, words): (&&Found, &Words)| words.reply_to.is_some() && sender.quoted.is_none();
        if let Some(place) = senders.iter().zip(&request.draft.messages).position(is_lost) {
            return refused(Refusal::NoSuchReply(place));
        }
        if is_sent {
            return refused(Refusal::SentBefore);
        }
        // After that, since a message can be repeated when somebody whom it mentions has left.
        if let Err(refusal) = may_mention {
            return refused(refusal);
        }
        if let Err(standing) = self.pauses.begin(room.id, user_id, number) {
            return refused(Refusal::SlowMode(standing));
        }
        if let Some(counted) = counted {
            self.tallies.insert(user_id.clone(), counted);
        }
        room.posts_tally = self.posts.counted(room.posts_tally, posts);
        let first = room.last_seq + 1;
        room.last_seq += u64::from(number);
        room.is_changed = true;
        Ok(first)
    }
}

/// Inserts messages; or returns `false`, and inserts none, if the `clientMessageId` of one was sent before.
async fn insert(transaction: &mut Transaction, messages: &[New<'_>], now: NaiveDateTime) -> Result<bool> {
    if messages.is_empty() {
        return Ok(true);
    }
    let sql = format!(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, is_encrypted,
                               client_message_id, body_hash, reply_to_seq, created_at, mentions, mentions_all)
         VALUES {}",
        rows("(?, ?, ?, 'text', ?, ?, ?, ?, ?, ?, ?, ?, ?)", messages.len())
    );
    let mut params: Vec<Value> = Vec::with_capacity(12 * messages.len());
    for New { asked: Asked { request, words, .. }, seq, user_id } in messages {
        params.extend([
            request.draft.room_id.into(),
            seq.into(),
            seq.into(),
            user_id.into(),
            (&words.content).into(),
            words.is_encrypted.into(),
            words.client_message_id.as_ref().into(),
            words.client_message_id.as_ref().map(|_| words.body_hash()).into(),
            words.reply_to.map(|reply_to| reply_to.seq).into(),
            now.into(),
            words.mentions.to_store()?.into(),
            words.mentions_all.into(),
        ]);
    }
    match transaction.exec_drop(sql, params).await {
        Err(error) if duplicate_key(&error) == Some("messages_client_message_id") => Ok(false),
        inserted => Ok(inserted.map(|()| true)?),
    }
}
