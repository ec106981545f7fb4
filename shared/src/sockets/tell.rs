//! Pushes committed changes to sockets. A push may fail or get lost; a client catches up with `sync`.

use std::cell::LazyCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::Result;
use crate::app::App;
use crate::base::ids::ConnectionId;
use crate::base::jobs::Queue;
use crate::base::meters::meters;
use crate::base::push::{NotDelivered, POST_TIMEOUT, Peer};
use crate::base::socket::{Protocol, Socket};
use crate::sockets::{connections, processes, socket_io};

/// How many sockets one job has at most, and how many bytes about: below what a queue takes, unless its only
/// frames are larger.
const JOB_SOCKETS: usize = 250;
const JOB_BYTES: usize = 200_000;
/// How many posts of one notice or job run at once.
const CONCURRENT_POSTS: usize = 32;
/// A post that takes longer than this gives up its permit and goes on beside the others.
const SLOW_POST: Duration = Duration::from_millis(100);
/// The longest wait before the first retry of a throttled post. It doubles with each retry.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// How long throttled posts are retried while a request waits for its answer.
const RETRIES_BEFORE_ANSWER: Duration = Duration::from_millis(300);

/// The frames that sockets get about a change, and which of the sockets are then closed.
#[derive(Debug, Default)]
#[must_use = "nobody hears of it before `App::tell`"]
pub struct Notice(BTreeMap<ConnectionId, Delivery>);

/// What one socket gets.
#[derive(Debug, Default)]
struct Delivery {
    /// The frames, in the order in which they are sent and in the protocol of the socket.
    frames: VecDeque<Bytes>,
    /// Whether the socket is closed after them.
    closes: bool,
    /// What the socket speaks.
    protocol: Protocol,
}

impl Notice {
    /// Makes a notice of one event for these sockets. It is written once in each protocol that they speak.
    pub fn new(event: &impl Serialize, sockets: impl IntoIterator<Item = Socket>) -> Self {
        let Some(frame) = serialized(event) else { return Self::default() };
        let packet = LazyCell::new(|| socket_io::event_of(&frame));
        let delivery = |Socket { connection_id, protocol }| {
            let text = match protocol {
                Protocol::Frames => frame.clone(),
                Protocol::SocketIo => packet.clone()?,
            };
            Some((connection_id, Delivery { frames: [text].into(), closes: false, protocol }))
        };
        Self(sockets.into_iter().filter_map(delivery).collect())
    }

    /// Makes a notice of nothing but the close of a socket.
    pub fn close(connection_id: ConnectionId) -> Self {
        Self(BTreeMap::from([(connection_id, Delivery { closes: true, ..Delivery::default() })]))
    }

    /// Also closes the sockets of this notice, after its events.
    pub fn and_close(mut self) -> Self {
        for delivery in self.0.values_mut() {
            delivery.closes = true;
        }
        self
    }

    /// Like [`Notice::and_close`], for sockets whose clients should open no others by themselves. Those of Socket.IO know
    /// that by a packet; others read it in the event.
    pub fn and_close_for_good(self) -> Self {
        let mut notice = self.and_close();
        for delivery in notice.0.values_mut().filter(|delivery| delivery.protocol == Protocol::SocketIo) {
            delivery.frames.push_back(Bytes::from_static(socket_io::DISCONNECT.as_bytes()));
        }
        notice
    }

    /// Leaves out the socket that requested the change: it gets the answer instead.
    pub fn except(mut self, by: Option<&ConnectionId>) -> Self {
        if let Some(by) = by {
            self.0.remove(by);
        }
        self
    }

    /// Adds a notice to send after this one. A socket that is in only one of the two does not wait.
    pub fn then(mut self, next: Self) -> Self {
        for (socket, delivery) in next.0 {
            let Delivery { frames, closes, protocol } = delivery;
            let new = || Delivery { protocol, ..Delivery::default() };
            let earlier = self.0.entry(socket).or_insert_with(new);
            earlier.frames.extend(frames);
            earlier.closes |= closes;
        }
        self
    }
}

/// A part of a notice to a large audience, which the function `fan-out` posts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FanOutJob(Vec<Group>);

/// The sockets that get the same.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    /// Of sockets that speak frames.
    frames: Vec<Box<RawValue>>,
    /// The JSON of the events for sockets of Socket.IO. An older version of the service, which may run beside this one,
    /// knows no such sockets, and passes over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    packets: Vec<Box<RawValue>>,
    closes: bool,
    /// Whether the packets end with a DISCONNECT.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    for_good: bool,
    sockets: Vec<ConnectionId>,
}

impl Notice {
    /// Divides the notice into jobs of about the same size.
    fn into_jobs(self) -> Vec<FanOutJob> {
        // Sockets that get the same share the memory of their frames.
        let mut groups: BTreeMap<_, (Delivery, Vec<ConnectionId>)> = BTreeMap::new();
        for (socket, delivery) in self.0 {
            let frames: Vec<_> = delivery.frames.iter().map(|frame| frame.as_ptr()).collect();
            groups.entry((frames, delivery.closes)).or_insert_with(|| (delivery, Vec::new())).1.push(socket);
        }
        let (mut jobs, mut sockets_left, mut bytes_left) = (Vec::<FanOutJob>::new(), 0, 0);
        for (Delivery { frames, closes, protocol }, mut sockets) in groups.into_values() {
            let for_good =
                protocol == Protocol::SocketIo && frames.iter().any(|packet| packet == socket_io::DISCONNECT);
            let bytes: usize = frames.iter().map(Bytes::len).sum();
            while !sockets.is_empty() {
                if sockets_left == 0 || bytes_left < bytes {
                    jobs.push(FanOutJob::default());
                    (sockets_left, bytes_left) = (JOB_SOCKETS, JOB_BYTES);
                }
                let rest = sockets.split_off(sockets.len().min(sockets_left));
                sockets_left -= sockets.len();
                bytes_left = bytes_left.saturating_sub(bytes);
                // Serde has written each frame, so it reads as JSON.
                let (frames, packets) = match protocol {
                    Protocol::Frames => {
                        let frames = frames.iter().filter_map(|frame| serde_json::from_slice(frame).ok());
                        (frames.collect(), Vec::new())
                    }
                    Protocol::SocketIo => {
                        let packets = frames.iter().filter_map(|packet| socket_io::json_of_event(packet));
                        (Vec::new(), packets.collect())
                    }
                };
                if let Some(FanOutJob(job)) = jobs.last_mut() {
                    job.push(Group { frames, packets, closes, for_good, sockets });
                }
                sockets = rest;
            }
        }
        jobs
    }
}

impl From<FanOutJob> for Notice {
    fn from(FanOutJob(groups): FanOutJob) -> Self {
        let deliveries =
            groups.into_iter().flat_map(|Group { frames, packets, closes, for_good, sockets }| {
                let protocol = if packets.is_empty() { Protocol::Frames } else { Protocol::SocketIo };
                let frames =
                    frames.into_iter().map(|frame| Bytes::from(String::from(Box::<str>::from(frame))));
                let packets = packets.iter().map(|json| socket_io::event_with(json));
                let last = for_good.then(|| Bytes::from_static(socket_io::DISCONNECT.as_bytes()));
                let frames: VecDeque<Bytes> = frames.chain(packets).chain(last).collect();
                let delivery = move |socket| (socket, Delivery { frames: frames.clone(), closes, protocol });
                sockets.into_iter().map(delivery)
            });
        Self(deliveries.collect())
    }
}

impl App {
    /// Tells a notice to its sockets before the request is answered: posts it, or queues it when there are
    /// many. Throttled posts delay the answer by [`RETRIES_BEFORE_ANSWER`] at most.
    pub async fn tell(&self, notice: Notice) {
        let notice = self.queue_if_over(self.config.direct_posts.before_answer, notice).await;
        self.post_within(RETRIES_BEFORE_ANSWER, notice).await;
    }

    /// Like [`App::tell`], while the request is answered. As nobody waits for the posts, more of them are
    /// made here, and throttled ones are retried for longer.
    pub async fn tell_beside_answer(&self, notice: Notice) {
        let notice = self.queue_if_over(self.config.direct_posts.beside_answer, notice).await;
        self.post(notice).await;
    }

    /// Queues a notice to more than `most` sockets. Returns what is left to post.
    async fn queue_if_over(&self, most: usize, notice: Notice) -> Notice {
        if notice.0.len() > most { self.queue(notice).await } else { notice }
    }

    /// Queues a notice for the function `fan-out`. Returns what the queue did not take.
    async fn queue(&self, notice: Notice) -> Notice {
        let jobs = notice.into_jobs();
        let jobs = jobs.iter().filter_map(|job| serde_json::to_string(job).ok()).collect();
        let refused = self.jobs.send(Queue::FanOut, jobs).await;
        let refused = refused.iter().filter_map(|job| serde_json::from_str::<FanOutJob>(job).ok());
        refused.map(Notice::from).fold(Notice::default(), Notice::then)
    }

    /// Posts a notice to all its sockets at once, as far as [`CONCURRENT_POSTS`] allows. No socket waits for
    /// a slow or dead one. The rows of sockets that turn out to be gone expire.
    pub async fn post(&self, notice: Notice) {
        self.post_within(POST_TIMEOUT, notice).await;
    }

    /// Like [`App::post`], with a bound for the time in which throttled posts are retried. Where the process lives on,
    /// nobody waits for them: they are left to tasks.
    async fn post_within(&self, retries: Duration, notice: Notice) {
        let retries = if self.push.is_local() { Duration::ZERO } else { retries };
        self.post_retrying_for(retries, notice).await;
    }

    async fn post_retrying_for(&self, retries: Duration, mut notice: Notice) {
        if notice.0.is_empty() {
            return;
        }
        meters().audience.record(notice.0.len() as f64);
        if self.post_all_at_once(&mut notice) {
            return;
        }
        // What is left may wait, and its future is large.
        Box::pin(async {
            self.post_elsewhere(&mut notice).await;
            self.post_the_rest(retries, notice).await;
        })
        .await;
    }

    /// Posts a job of another server process to sockets of this one.
    pub async fn post_here(&self, job: FanOutJob) {
        let mut notice = Notice::from(job);
        if !self.post_all_at_once(&mut notice) {
            Box::pin(self.post_the_rest(Duration::ZERO, notice)).await;
        }
    }

    /// Takes out what is for the sockets of other server processes, and hands it to these. Nobody waits for them. What a
    /// process does not take is lost, as any push may be.
    async fn post_elsewhere(&self, notice: &mut Notice) {
        let Some(process) = &self.process else { return };
        let strange: Vec<ConnectionId> =
            notice.0.keys().filter(|socket| !self.push.holds(socket)).cloned().collect();
        if strange.is_empty() {
            return;
        }
        let found = match processes::elsewhere(&self.db, &process.id, &strange).await {
            Ok(found) => found,
            Err(error) => {
                error.log();
                // Whether they are gone is not known.
                notice.0.retain(|socket, _| self.push.holds(socket));
                return;
            }
        };
        let mut of_peers: BTreeMap<String, (Peer, Notice)> = BTreeMap::new();
        for (socket, peer) in found {
            if let (Some(delivery), Some(peer)) = (notice.0.remove(&socket), peer) {
                let (_, notice) =
                    of_peers.entry(peer.process_id.clone()).or_insert_with(|| (peer, Notice::default()));
                notice.0.insert(socket, delivery);
            }
        }
        for (peer, notice) in of_peers.into_values() {
            meters().posted_elsewhere.increment(notice.0.len() as u64);
            for job in notice.into_jobs() {
                let (Ok(job), Ok(place)) =
                    (serde_json::to_string(&job), self.late_posts.clone().try_acquire_owned())
                else {
                    tracing::warn!(process = peer.process_id, "a post to another process was given up");
                    continue;
                };
                let (process, peer) = (process.clone(), peer.clone());
                tokio::spawn(async move {
                    let _place = place;
                    if !process.peers.post(peer, job).await {
                        process.missed.notify_one();
                    }
                });
            }
        }
    }

    /// Posts what can be posted without waiting, and takes it out. Returns whether this was all.
    fn post_all_at_once(&self, notice: &mut Notice) -> bool {
        let all = notice.0.len();
        notice
            .0
            .retain(|socket, delivery| !self.post_at_once(socket, &mut delivery.frames) || delivery.closes);
        meters().posted_at_once.increment((all - notice.0.len()) as u64);
        notice.0.is_empty()
    }

    /// Posts as many frames to a socket as can be posted without waiting, in order, and takes them out. Returns whether
    /// these were all.
    fn post_at_once(&self, socket: &ConnectionId, frames: &mut VecDeque<Bytes>) -> bool {
        while let Some(frame) = frames.front() {
            if !self.push.post_at_once(socket, frame) {
                return false;
            }
            frames.pop_front();
        }
        true
    }

    async fn post_the_rest(&self, retries: Duration, notice: Notice) {
        self.push.prepare().await;
        let permits = Semaphore::new(CONCURRENT_POSTS);
        let deliveries: FuturesUnordered<_> = notice
            .0
            .into_iter()
            .map(async |(socket, Delivery { mut frames, closes, .. })| {
                let delivered = self.deliver(&permits, &socket, &mut frames, retries).await;
                if delivered == Err(NotDelivered::Throttled)
                    && retries.is_zero()
                    && let Ok(place) = self.late_posts.clone().try_acquire_owned()
                {
                    let app = self.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        let permits = Semaphore::new(1);
                        let delivered = app.deliver(&permits, &socket, &mut frames, POST_TIMEOUT).await;
                        let gone = app.delivered(delivered, socket, closes).await;
                        app.end_gone(gone.as_slice()).await;
                    });
                    return None;
                }
                self.delivered(delivered, socket, closes).await
            })
            .collect();
        let gone: Vec<ConnectionId> = deliveries.filter_map(async |gone| gone).collect().await;
        self.end_gone(&gone).await;
    }

    /// Ends a delivery. Returns the socket if it turned out to be gone.
    async fn delivered(
        &self,
        delivered: Result<(), NotDelivered>,
        socket: ConnectionId,
        closes: bool,
    ) -> Option<ConnectionId> {
        match delivered {
            Ok(()) => meters().posted_later.increment(1),
            Err(NotDelivered::Gone) => meters().posts_gone.increment(1),
            Err(NotDelivered::Throttled | NotDelivered::Failed) => meters().posts_given_up.increment(1),
        }
        if closes {
            _ = self.push.close(&socket).await;
        }
        // When the service closes a socket, its row has already expired.
        (delivered == Err(NotDelivered::Gone) && !closes).then_some(socket)
    }

    async fn end_gone(&self, gone: &[ConnectionId]) {
        if let Err(error) = connections::end_gone(&self.db, gone).await {
            error.log();
        }
    }

    /// Posts frames to one socket, in order, and takes out those that were posted. It stops at the first frame that
    /// fails, and after [`POST_TIMEOUT`] in all. It retries while it is throttled, for at most `retries` since that
    /// began; a post that is only slow is not throttled. It holds a permit while it posts, but no longer than
    /// [`SLOW_POST`], and none while it waits to retry.
    async fn deliver(
        &self,
        permits: &Semaphore,
        socket: &ConnectionId,
        frames: &mut VecDeque<Bytes>,
        retries: Duration,
    ) -> Result<(), NotDelivered> {
        let mut retry = FIRST_RETRY;
        let (mut deadline, mut retry_until) = (None, None);
        while let Some(frame) = frames.front() {
            loop {
                let permit = permits.acquire().await;
                // The time starts with the first permit.
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + POST_TIMEOUT);
                let mut post = pin!(self.push.post(socket, frame.clone()));
                let quick = timeout(SLOW_POST, post.as_mut()).await;
                drop(permit);
                let posted = match quick {
                    Ok(posted) => posted,
                    Err(_) => timeout_at(deadline, post).await.unwrap_or(Err(NotDelivered::Failed)),
                };
                match posted {
                    Ok(()) => break,
                    Err(NotDelivered::Throttled) if !retries.is_zero() => {}
                    Err(_) => return posted,
                }
                let now = Instant::now();
                let retry_until = *retry_until.get_or_insert(deadline.min(now + retries));
                let pause = rand::random_range(retry / 2..retry);
                if now + pause >= retry_until {
                    tracing::warn!(%socket, "a post was throttled until it was given up");
                    return posted;
                }
                sleep(pause).await;
                retry *= 2;
            }
            frames.pop_front();
        }
        Ok(())
    }

    /// Sends a socket the answer to its frame, and retries while it is throttled.
    pub async fn answer(&self, connection_id: &ConnectionId, answer: Bytes) {
        // If the socket has closed in the meantime, its own `$disconnect` handles that.
        let mut frames = [answer].into();
        if !self.post_at_once(connection_id, &mut frames) {
            // This future is large, and would be part of that of every frame.
            Box::pin(async {
                self.push.prepare().await;
                let permits = Semaphore::new(1);
                _ = self.deliver(&permits, connection_id, &mut frames, POST_TIMEOUT).await;
            })
            .await;
        }
    }
}

/// Writes a frame as JSON.
pub fn serialized(frame: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(frame)
        .map(Bytes::from)
        .inspect_err(|error| tracing::error!(%error, "a frame cannot be written as JSON"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use tokio::task::yield_now;

    use super::*;
    use serde_json::json;

    use crate::app::LATE_POSTS;
    use crate::base::jobs::{Jobs, LocalQueues};
    use crate::base::push::{Push, Sockets};
    use crate::config::{Config, DirectPosts};

    /// Sockets whose ids begin with what they are: dead, slow, throttled or good.
    #[derive(Debug, Default)]
    struct Strange {
        delivered: AtomicUsize,
        tries: AtomicUsize,
        under_way: AtomicUsize,
        most_under_way: AtomicUsize,
        /// How many posts to dead sockets were pending at the last delivery.
        waited_for: AtomicUsize,
        /// The frames that arrived, each with its socket, in order.
        heard: Mutex<Vec<(String, Bytes)>>,
        /// The sockets that were closed, each with the number of posts to dead sockets pending at that time.
        closed: Mutex<Vec<(String, usize)>>,
    }

    impl Strange {
        fn heard(&self) -> Vec<(String, String)> {
            let heard = self.heard.lock().unwrap();
            heard
                .iter()
                .map(|(socket, frame)| (socket.clone(), String::from_utf8_lossy(frame).into()))
                .collect()
        }
    }

    impl Sockets for Strange {
        fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>> {
            let socket = connection_id.to_owned();
            async move {
                let earlier_tries = self.tries.fetch_add(1, Relaxed);
                let under_way = self.under_way.fetch_add(1, Relaxed) + 1;
                self.most_under_way.fetch_max(under_way, Relaxed);
                for _ in 0..3 {
                    yield_now().await;
                }
                if socket.starts_with("dead") {
                    return std::future::pending().await;
                }
                let under_way = self.under_way.fetch_sub(1, Relaxed) - 1;
                match socket.split('-').next() {
                    Some("slow") => sleep(RETRIES_BEFORE_ANSWER * 2).await,
                    Some("full") => return Err(NotDelivered::Throttled),
                    Some("busy") if earlier_tries < 3 => return Err(NotDelivered::Throttled),
                    _ => {}
                }
                self.waited_for.store(under_way, Relaxed);
                self.delivered.fetch_add(1, Relaxed);
                self.heard.lock().unwrap().push((socket, frame));
                Ok(())
            }
            .boxed()
        }

        fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>> {
            let under_way = self.under_way.load(Relaxed);
            self.closed.lock().unwrap().push((connection_id.to_owned(), under_way));
            async { Ok(()) }.boxed()
        }
    }

    fn strange() -> (App, Arc<Strange>) {
        let secret = "s".repeat(32);
        let settings = [
            ("DATABASE_URL", "mysql://u@127.0.0.1/none"),
            ("JWT_SECRET", &secret),
            ("REFRESH_SECRET", &secret),
        ];
        let settings: BTreeMap<_, _> =
            settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let strange = Arc::new(Strange::default());
        let app = App::new(Config::from(settings).unwrap(), Push::Local(strange.clone()), 1);
        (app, strange)
    }

    fn socket(id: impl Into<String>) -> Socket {
        Socket { connection_id: ConnectionId::new(id.into()), protocol: Protocol::Frames }
    }

    fn ids<const N: usize>(ids: [&str; N]) -> [Socket; N] {
        ids.map(socket)
    }

    /// A queue that takes the first jobs.
    #[derive(Debug)]
    struct Taking {
        first: usize,
        taken: Mutex<Vec<String>>,
    }

    impl LocalQueues for Taking {
        fn send(&self, queue: Queue, job: String, _: Option<Duration>) -> Result<(), String> {
            assert_eq!(queue, Queue::FanOut);
            let mut taken = self.taken.lock().unwrap();
            if taken.len() == self.first {
                return Err("the queue is full".to_owned());
            }
            taken.push(job);
            Ok(())
        }
    }

    /// Sockets, and a queue that takes the first jobs. An audience of more than ten is large.
    fn with_queue(first: usize) -> (App, Arc<Strange>, Arc<Taking>) {
        let (app, sockets) = strange();
        let taking = Arc::new(Taking { first, taken: Mutex::default() });
        let mut config = Config::clone(&app.config);
        config.direct_posts = DirectPosts { before_answer: 10, beside_answer: 20 };
        (App { config: Arc::new(config), jobs: Jobs::Local(taking.clone()), ..app }, sockets, taking)
    }

    async fn do_jobs(app: &App, taking: &Taking) {
        let taken = std::mem::take(&mut *taking.taken.lock().unwrap());
        for job in taken {
            app.post(serde_json::from_str::<FanOutJob>(&job).unwrap().into()).await;
        }
    }

    #[tokio::test]
    async fn a_large_audience_is_left_to_jobs_of_250_sockets() {
        let (app, sockets, taking) = with_queue(9);
        let audience = |count| (0..count).map(|n| socket(format!("good-{n:04}")));
        app.tell(Notice::new(&"hello", audience(10))).await;
        app.tell_beside_answer(Notice::new(&"hello", audience(20))).await;
        assert_eq!((sockets.delivered.load(Relaxed), taking.taken.lock().unwrap().len()), (30, 0));
        app.tell(Notice::new(&json!({"event": "h\u{e9}llo"}), audience(501)).and_close()).await;
        assert_eq!((sockets.delivered.load(Relaxed), taking.taken.lock().unwrap().len()), (30, 3));
        assert!(taking.taken.lock().unwrap().iter().all(|job| job.len() < 5000));
        sockets.heard.lock().unwrap().clear();
        do_jobs(&app, &taking).await;
        let mut heard = sockets.heard();
        heard.sort();
        let expected = audience(501)
            .map(|socket| (socket.connection_id.to_string(), "{\"event\":\"h\u{e9}llo\"}".to_owned()));
        assert_eq!(heard, expected.collect::<Vec<_>>());
        assert_eq!(sockets.closed.lock().unwrap().len(), 501);
    }

    #[tokio::test]
    async fn sockets_of_socket_io_get_packets_directly_and_through_the_queue() {
        let (app, sockets, taking) = with_queue(9);
        let both = |n: usize| {
            let packets = Socket { protocol: Protocol::SocketIo, ..socket(format!("good-p{n}")) };
            [socket(format!("good-f{n}")), packets]
        };
        for pairs in [1, 6] {
            let notice =
                Notice::new(&json!({"event": "hi", "data": {"a": "\u{e9}"}}), (0..pairs).flat_map(both));
            app.tell(notice.and_close_for_good()).await;
            do_jobs(&app, &taking).await;
            let (mut heard, mut expected) = (sockets.heard(), Vec::new());
            for n in 0..pairs {
                expected.push((
                    format!("good-f{n}"),
                    "{\"event\":\"hi\",\"data\":{\"a\":\"\u{e9}\"}}".to_owned(),
                ));
                expected.push((format!("good-p{n}"), "42[\"hi\",{\"a\":\"\u{e9}\"}]".to_owned()));
                expected.push((format!("good-p{n}"), "41".to_owned()));
            }
            // Stable, so that each socket's order stays.
            heard.sort_by(|a, b| a.0.cmp(&b.0));
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(heard, expected);
            assert_eq!(std::mem::take(&mut *sockets.closed.lock().unwrap()).len(), 2 * pairs);
            sockets.heard.lock().unwrap().clear();
        }
    }

    #[tokio::test]
    async fn sockets_that_get_different_frames_share_a_job_as_far_as_there_is_room() {
        let (app, sockets, taking) = with_queue(9);
        let of = |n: usize| socket(format!("good-{n}"));
        let each = |n: usize| Notice::new(&n, [of(n)]).then(Notice::new(&"all", [of(n)]));
        app.tell((0..100).map(each).fold(Notice::default(), Notice::then)).await;
        assert_eq!(taking.taken.lock().unwrap().len(), 1);
        do_jobs(&app, &taking).await;
        let heard = sockets.heard();
        for n in 0..100 {
            let mine: Vec<_> = heard.iter().filter(|(socket, _)| *socket == format!("good-{n}")).collect();
            assert_eq!(
                mine.iter().map(|(_, frame)| frame.clone()).collect::<Vec<_>>(),
                [n.to_string(), "\"all\"".to_owned()]
            );
        }
        let large = |n: usize| Notice::new(&format!("{n:030000}"), [of(n)]);
        app.tell((0..20).map(large).fold(Notice::default(), Notice::then)).await;
        let jobs: Vec<usize> = taking.taken.lock().unwrap().iter().map(String::len).collect();
        assert!(jobs.len() == 4 && jobs.iter().all(|&bytes| bytes < JOB_BYTES), "{jobs:?}");
    }

    #[tokio::test]
    async fn what_the_queue_does_not_take_is_posted_at_once() {
        let (app, sockets, taking) = with_queue(1);
        app.tell(Notice::new(&"hello", (0..501).map(|n| socket(format!("good-{n}"))))).await;
        assert_eq!((sockets.delivered.load(Relaxed), taking.taken.lock().unwrap().len()), (251, 1));
        do_jobs(&app, &taking).await;
        assert_eq!(sockets.delivered.load(Relaxed), 501);
    }

    #[tokio::test]
    async fn without_a_queue_everything_is_posted_at_once() {
        let sockets = broadcast_to((0..300).map(|n| format!("good-{n}"))).await;
        assert_eq!(sockets.delivered.load(Relaxed), 300);
    }

    async fn broadcast_to(sockets: impl Iterator<Item = String>) -> Arc<Strange> {
        let (app, strange) = strange();
        app.tell(Notice::new(&"hello", sockets.map(socket))).await;
        late_posts_end(&app).await;
        strange
    }

    /// Waits until no post goes on in a task.
    async fn late_posts_end(app: &App) {
        drop(app.late_posts.acquire_many(LATE_POSTS as u32).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_throttled_socket_where_the_process_lives_on() {
        let (app, sockets) = strange();
        let full = (0..40).map(|n| format!("full-{n}"));
        let all = full.chain(["good-1".to_owned()]);
        app.tell(Notice::new(&"hello", all.map(socket))).await;
        assert_eq!(app.late_posts.available_permits(), LATE_POSTS - 40, "they are still being tried");
        assert!(sockets.tries.load(Relaxed) < 40 * 3);
        late_posts_end(&app).await;
        assert_eq!(sockets.delivered.load(Relaxed), 1);

        // When too many are tried again, a further one is given up.
        let _taken = app.late_posts.acquire_many(LATE_POSTS as u32).await.unwrap();
        let tries = sockets.tries.load(Relaxed);
        app.tell(Notice::new(&"hello", ids(["full-1"])).and_close()).await;
        assert_eq!(sockets.tries.load(Relaxed), tries + 1);
        assert_eq!(*sockets.closed.lock().unwrap(), [("full-1".to_owned(), 0)]);
    }

    #[tokio::test]
    async fn an_answer_waits_300_ms_for_throttled_sockets_and_longer_for_slow_ones() {
        let (app, sockets) = strange();
        let full = (0..40).map(|n| format!("full-{n}"));
        let notice = Notice::new(&"goodbye", full.map(socket)).and_close();
        app.post_retrying_for(RETRIES_BEFORE_ANSWER, notice).await;
        // In 2 seconds it would be six tries or more.
        let tries = sockets.tries.load(Relaxed);
        assert!((40 * 2..=40 * 4).contains(&tries), "{tries} tries");
        assert_eq!(sockets.closed.lock().unwrap().len(), 40);
        assert_eq!(app.late_posts.available_permits(), LATE_POSTS, "no task goes on");

        app.post_retrying_for(RETRIES_BEFORE_ANSWER, Notice::new(&"hello", ids(["slow-1"]))).await;
        assert_eq!(sockets.heard(), [("slow-1".to_owned(), r#""hello""#.to_owned())]);
    }

    #[tokio::test]
    async fn dead_sockets_hold_up_no_other_and_are_given_up() {
        let dead = (0..100).map(|n| format!("dead-{n}"));
        let sockets = broadcast_to(dead.chain((0..100).map(|n| format!("good-{n}")))).await;
        assert_eq!(sockets.delivered.load(Relaxed), 100);
        assert!(sockets.waited_for.load(Relaxed) > CONCURRENT_POSTS, "more dead ones than may post at once");
    }

    #[tokio::test]
    async fn a_throttled_post_is_tried_again_and_given_up_in_the_end() {
        let sockets = broadcast_to(["busy-1".to_owned()].into_iter()).await;
        assert_eq!((sockets.delivered.load(Relaxed), sockets.tries.load(Relaxed)), (1, 4));

        let sockets = broadcast_to((0..40).map(|n| format!("full-{n}"))).await;
        assert_eq!(sockets.delivered.load(Relaxed), 0);
        let tries = sockets.tries.load(Relaxed);
        assert!((40 * 3..40 * 10).contains(&tries), "{tries} tries do not back off");
    }

    #[tokio::test]
    async fn an_answer_that_is_throttled_is_tried_again() {
        let (app, sockets) = strange();
        app.answer(&ids(["busy-1"])[0].connection_id, "\"ack\"".into()).await;
        assert_eq!(sockets.heard(), [("busy-1".to_owned(), r#""ack""#.to_owned())]);
    }

    #[tokio::test]
    async fn who_is_told_two_things_hears_them_in_order_and_who_is_told_one_waits_for_nobody() {
        let (app, sockets) = strange();
        let first = Notice::new(&1, ids(["dead-1", "good-1"]));
        app.tell(first.then(Notice::new(&2, ids(["dead-1", "good-1", "good-2"])))).await;
        let mut heard = sockets.heard();
        heard.sort();
        let good = |socket: &str, frame: &str| (socket.to_owned(), frame.to_owned());
        assert_eq!(heard, [good("good-1", "1"), good("good-1", "2"), good("good-2", "2")]);
        let order: Vec<_> = sockets.heard().into_iter().filter(|(socket, _)| socket == "good-1").collect();
        assert_eq!(order, [good("good-1", "1"), good("good-1", "2")]);
        assert_eq!(sockets.waited_for.load(Relaxed), 1, "the good ones were done before the dead one");
        assert_eq!(sockets.tries.load(Relaxed), 4, "a dead one is tried once");
    }

    #[tokio::test]
    async fn sockets_that_are_closed_wait_for_no_other() {
        let (app, sockets) = strange();
        app.tell(Notice::new(&"goodbye", ids(["dead-1", "good-1", "full-1"])).and_close()).await;
        late_posts_end(&app).await;
        assert_eq!(sockets.heard(), [("good-1".to_owned(), r#""goodbye""#.to_owned())]);
        let mut closed = sockets.closed.lock().unwrap().clone();
        let (first, waited_for) = closed.remove(0);
        assert_eq!(first, "good-1");
        assert!(waited_for >= 1, "the dead one is still waited for");
        closed.sort();
        assert_eq!(
            closed.iter().map(|(socket, _)| socket.as_str()).collect::<Vec<_>>(),
            ["dead-1", "full-1"]
        );
    }

    #[tokio::test]
    async fn so_many_posts_are_under_way_at_once_and_no_more() {
        let sockets = broadcast_to((0..320).map(|n| format!("good-{n}"))).await;
        assert_eq!(sockets.delivered.load(Relaxed), 320);
        assert_eq!(sockets.most_under_way.load(Relaxed), CONCURRENT_POSTS);
    }
}
