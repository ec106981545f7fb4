//! The queues of the template, in memory: Amazon SQS on one machine. `event_source` delivers their jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use md5::{Digest, Md5};
use shared::base::jobs::{LocalQueues, Queue};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::limits::{EVENT_BYTES, JOB_BYTES, JOB_BYTES_WAITING, JOBS_WAITING};
use crate::template::{self, Template};

/// The most bytes of jobs in one event. An event writes a job as a JSON string, which can have twice its
/// bytes.
const BATCH_BYTES: usize = EVENT_BYTES / 2;

/// The queues whose jobs functions do.
#[derive(Debug)]
pub struct Queues {
    queues: BTreeMap<String, OpenQueue>,
    /// The number of jobs that wait or are being done.
    unfinished: watch::Sender<usize>,
    /// Whether the process is about to end.
    ending: watch::Sender<bool>,
}

struct OpenQueue {
    settings: template::QueueSettings,
    jobs: Mutex<Jobs>,
    /// A job was added. A single event source waits for it.
    added: Notify,
}

impl fmt::Debug for OpenQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenQueue").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The jobs of a queue.
#[derive(Default)]
struct Jobs {
    /// By the time at which they can be delivered, and then in the order in which they were added.
    waiting: BTreeMap<(Instant, u64), QueuedJob>,
    /// How many were added so far.
    added: u64,
    /// The bytes of those that wait or are being done.
    bytes: usize,
}

/// A job, and how often it was delivered.
#[derive(Clone, Debug)]
pub(crate) struct QueuedJob {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) sent_at: DateTime<Utc>,
    pub(crate) first_received_at: DateTime<Utc>,
    pub(crate) receive_count: u32,
    received_at: Instant,
}

/// Why a queue does not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotQueued {
    /// The template has no such queue, or no function does its jobs.
    #[error("no function does the jobs of such a queue")]
    NoSuchQueue,
    /// The job is larger than [`JOB_BYTES`].
    #[error("a job can have at most 1 MiB")]
    TooLarge,
    /// Too many jobs wait.
    #[error("the queue is full")]
    Full,
}

impl Queues {
    /// The queues of a template whose jobs a function does.
    pub fn new(template: &Template) -> Self {
        let has_function = |name: &String| template.event_sources.iter().any(|source| source.queue == *name);
        let queues = template.queues.iter().filter(|(name, _)| has_function(name));
        let queue = |settings: &template::QueueSettings| OpenQueue {
            settings: settings.clone(),
            jobs: Mutex::default(),
            added: Notify::new(),
        };
        Self {
            queues: queues.map(|(name, settings)| (name.clone(), queue(settings))).collect(),
            unfinished: watch::Sender::new(0),
            ending: watch::Sender::new(false),
        }
    }

    /// Adds a job, and returns its id.
    pub(crate) fn add(
        &self,
        queue: &str,
        body: String,
        delay: Option<Duration>,
    ) -> Result<String, NotQueued> {
        let queue = self.queues.get(queue).ok_or(NotQueued::NoSuchQueue)?;
        if body.len() > JOB_BYTES {
            return Err(NotQueued::TooLarge);
        }
        let (id, now) = (new_message_id(), Instant::now());
        let mut jobs = queue.jobs();
        if jobs.waiting.len() >= JOBS_WAITING || jobs.bytes + body.len() > JOB_BYTES_WAITING {
            return Err(NotQueued::Full);
        }
        jobs.bytes += body.len();
        let sent_at = Utc::now();
        let job = QueuedJob {
            id: id.clone(),
            body,
            sent_at,
            first_received_at: sent_at,
            receive_count: 0,
            received_at: now,
        };
        self.unfinished.send_modify(|unfinished| *unfinished += 1);
        jobs.put(now + delay.unwrap_or(queue.settings.delay), job);
        drop(jobs);
        queue.added.notify_one();
        Ok(id)
    }

    /// How many jobs wait in each queue.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, usize)> {
        self.queues.iter().map(|(name, queue)| (name.as_str(), queue.jobs().waiting.len()))
    }

    /// Waits for jobs, and returns at most `most` of them: the caller tells with [`Queues::settle`] what
    /// became of them. A process that is about to end delays nothing.
    pub(crate) async fn receive(&self, queue: &str, most: usize) -> Vec<QueuedJob> {
        let Some(queue) = self.queues.get(queue) else { return std::future::pending().await };
        let mut ending = self.ending.subscribe();
        loop {
            let due = (!*ending.borrow_and_update()).then(Instant::now);
            let next = match queue.jobs().take(due, most) {
                Ok(jobs) => return jobs,
                Err(next) => next,
            };
            let is_due = async {
                match next {
                    Some(time) => sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = is_due => {}
                () = queue.added.notified() => {}
                _ = ending.changed() => {}
            }
        }
    }

    /// Removes the jobs that were done. Those that have failed are delivered again, unless that was done often
    /// enough, they are too old or the process is about to end.
    pub(crate) fn settle(&self, name: &str, delivered: Vec<QueuedJob>, failed: &BTreeSet<String>) {
        let Some(queue) = self.queues.get(name) else { return };
        for job in delivered {
            let has_failed = failed.contains(&job.id);
            let often = queue.settings.max_receive_count.is_some_and(|most| job.receive_count >= most);
            let age = (Utc::now() - job.sent_at).to_std().unwrap_or_default();
            let is_last = often || age >= queue.settings.retention || *self.ending.borrow();
            if has_failed && is_last {
                let QueuedJob { id, receive_count, .. } = &job;
                tracing::error!(queue = name, id, receive_count, "a job has failed and is a dead letter");
            }
            let mut jobs = queue.jobs();
            if has_failed && !is_last {
                jobs.put(job.received_at + queue.settings.visibility_timeout, job);
                drop(jobs);
                queue.added.notify_one();
            } else {
                jobs.bytes -= job.body.len();
                drop(jobs);
                self.unfinished.send_modify(|unfinished| *unfinished -= 1);
            }
        }
    }

    /// Delivers everything that waits, without delays, and waits until it is done.
    pub(crate) async fn finish(&self) {
        self.ending.send_replace(true);
        _ = self.unfinished.subscribe().wait_for(|&unfinished| unfinished == 0).await;
    }
}

impl LocalQueues for Queues {
    fn send(&self, queue: Queue, job: String, delay: Option<Duration>) -> Result<(), String> {
        self.add(queue.name(), job, delay).map(drop).map_err(|error| error.to_string())
    }
}

impl OpenQueue {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // Each critical section leaves the jobs consistent, also when it panics.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn put(&mut self, time: Instant, job: QueuedJob) {
        self.waiting.insert((time, self.added), job);
        self.added += 1;
    }

    /// Takes the next jobs that are due, or without a time whatever the next ones are. Otherwise the error
    /// is the time at which the next one is due.
    fn take(&mut self, due: Option<Instant>, most: usize) -> Result<Vec<QueuedJob>, Option<Instant>> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.waiting.first_entry() {
            let is_due = due.is_none_or(|due| next.key().0 <= due);
            bytes += next.get().body.len();
            if !is_due || taken.len() == most || (bytes > BATCH_BYTES && !taken.is_empty()) {
                break;
            }
            let mut job = next.remove();
            job.received_at = Instant::now();
            job.receive_count += 1;
            if job.receive_count == 1 {
                job.first_received_at = Utc::now();
            }
            taken.push(job);
        }
        match taken.is_empty() {
            false => Ok(taken),
            true => Err(self.waiting.first_key_value().map(|(&(time, _), _)| time)),
        }
    }
}

/// Creates the id of a message like SQS's: a random UUID.
fn new_message_id() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The MD5 digest in hex: of a job's body, which SQS returns and delivers, and of a file, which tells its versions apart.
pub(crate) fn md5_of(bytes: impl AsRef<[u8]>) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
