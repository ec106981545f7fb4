//! Pushes: frames to sockets, through API Gateway's `@connections` or straight to a local socket.
//!
//! A push happens after the commit. It may fail or get lost; `sync` is how a client catches up.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::app::App;
use crate::connections::{self, ConnectionId};
use crate::events::Event;

/// How many posts of one fan-out are under way at once.
const CONCURRENT_POSTS: usize = 32;
/// A post that takes longer makes room for the others and goes on beside them.
const SLOW_POST: Duration = Duration::from_millis(100);
/// When a post is given up: a socket that does not read, or no route out of a VPC, where posts hang
/// instead of failing.
const POST_TIMEOUT: Duration = Duration::from_secs(2);
/// The wait before a throttled post is tried again, at most; it doubles from try to try.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// Why a post did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDelivered {
    /// 410: the socket is closed, or its handshake is not done.
    Gone,
    /// 429: too many posts at once, or the socket does not read.
    Throttled,
    /// Anything else; logged where it happened.
    Failed,
}

/// The open sockets of this process.
pub trait Sockets: fmt::Debug + Send + Sync {
    /// Queues a text frame.
    fn post(&self, connection_id: &str, frame: Bytes) -> BoxFuture<'_, Result<(), NotDelivered>>;
    /// Closes a socket.
    fn close(&self, connection_id: &str) -> BoxFuture<'_, Result<(), NotDelivered>>;
}

/// The way to the sockets.
#[derive(Clone, Debug)]
pub enum Push {
    /// API Gateway's `@connections` at this endpoint; the client is made at the first push.
    Management(Arc<Management>),
    /// Sockets that this process holds itself.
    Local(Arc<dyn Sockets>),
}

/// API Gateway's management API.
#[derive(Debug)]
pub struct Management {
    endpoint: Option<String>,
    client: OnceCell<Client>,
}

impl Push {
    /// Pushes through the management API at `endpoint` (`https://{api}/{stage}`).
    pub fn management(endpoint: Option<String>) -> Self {
        Self::Management(Arc::new(Management { endpoint, client: OnceCell::new() }))
    }

    async fn post(&self, connection_id: &ConnectionId, frame: Bytes) -> Result<(), NotDelivered> {
        match self {
            Self::Local(sockets) => sockets.post(connection_id.as_str(), frame).await,
            Self::Management(management) => {
                let request = management.client().await.post_to_connection();
                let sent = request.connection_id(connection_id.as_str()).data(Blob::new(frame)).send().await;
                sent.map(drop).map_err(not_delivered)
            }
        }
    }

    async fn close(&self, connection_id: &ConnectionId) -> Result<(), NotDelivered> {
        match self {
            Self::Local(sockets) => sockets.close(connection_id.as_str()).await,
            Self::Management(management) => {
                let request = management.client().await.delete_connection();
                let closed = request.connection_id(connection_id.as_str()).send().await;
                closed.map(drop).map_err(not_delivered)
            }
        }
    }
}

impl Management {
    async fn client(&self) -> &Client {
        let connect = async || {
            let timeouts = TimeoutConfig::builder().operation_timeout(POST_TIMEOUT).build();
            let mut loader = aws_config::defaults(BehaviorVersion::latest())
                .timeout_config(timeouts)
                // A fan-out tries again itself, without holding up the other sockets.
                .retry_config(RetryConfig::disabled());
            if let Some(endpoint) = &self.endpoint {
                loader = loader.endpoint_url(endpoint);
            }
            Client::new(&loader.load().await)
        };
        self.client.get_or_init(connect).await
    }
}

fn not_delivered<E: std::error::Error + 'static>(error: SdkError<E>) -> NotDelivered {
    // By status, since the SDK maps errors by a code that proxies may drop.
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(410) => NotDelivered::Gone,
        Some(429) => NotDelivered::Throttled,
        status => {
            tracing::warn!(?status, %error, "a post failed");
            NotDelivered::Failed
        }
    }
}

/// What sockets are told, each its frames in their order.
#[derive(Debug, Default)]
#[must_use = "nobody hears of it before `App::tell`"]
pub struct Notice(BTreeMap<ConnectionId, Vec<Bytes>>);

impl Notice {
    /// An event for these sockets.
    pub fn new(event: &impl Serialize, sockets: impl IntoIterator<Item = ConnectionId>) -> Self {
        let Some(frame) = serialized(event) else { return Self::default() };
        Self(sockets.into_iter().map(|socket| (socket, vec![frame.clone()])).collect())
    }

    /// Not for the socket that the event came from: it has the answer.
    pub fn but_for(mut self, by: Option<&ConnectionId>) -> Self {
        if let Some(by) = by {
            self.0.remove(by);
        }
        self
    }

    /// And after it another one; a socket that gets only one of the two waits for nobody.
    pub fn then(mut self, next: Self) -> Self {
        for (socket, frames) in next.0 {
            self.0.entry(socket).or_default().extend(frames);
        }
        self
    }
}

impl App {
    /// Tells sockets what has been committed: all at once, as far as [`CONCURRENT_POSTS`] allows. None of
    /// them waits for a slow or dead one. Sockets that are gone expire.
    pub async fn tell(&self, notice: Notice) {
        let permits = Semaphore::new(CONCURRENT_POSTS);
        let posts: FuturesUnordered<_> = notice
            .0
            .into_iter()
            .map(async |(socket, frames)| (self.deliver(&permits, &socket, frames).await, socket))
            .collect();
        let gone: Vec<ConnectionId> = posts
            .filter_map(async |(delivered, socket)| (delivered == Err(NotDelivered::Gone)).then_some(socket))
            .collect()
            .await;
        if let Err(error) = connections::end_gone(&self.db, &gone).await {
            error.log("");
        }
    }

    /// Tells sockets of one event.
    pub async fn broadcast(&self, event: &impl Serialize, sockets: impl IntoIterator<Item = ConnectionId>) {
        self.tell(Notice::new(event, sockets)).await;
    }

    /// Posts frames to one of many sockets, each again while it is throttled, for [`POST_TIMEOUT`] in all;
    /// the first that does not arrive is the last. It has a permit while it posts, but for no longer than
    /// [`SLOW_POST`], and none while it waits.
    async fn deliver(
        &self,
        permits: &Semaphore,
        socket: &ConnectionId,
        frames: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), NotDelivered> {
        let mut retry = FIRST_RETRY;
        let mut deadline = None;
        for frame in frames {
            loop {
                let permit = permits.acquire().await;
                // Its time begins when its turn comes.
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
                    Err(NotDelivered::Throttled) => {}
                    Err(_) => return posted,
                }
                let pause = rand::random_range(retry / 2..retry);
                if Instant::now() + pause >= deadline {
                    tracing::warn!(%socket, "a post was throttled until it was given up");
                    return posted;
                }
                sleep(pause).await;
                retry *= 2;
            }
        }
        Ok(())
    }

    /// Sends one socket the answer to its frame, again while it is throttled.
    pub async fn answer(&self, connection_id: &ConnectionId, answer: &impl Serialize) {
        // A socket that closed meanwhile has its own `$disconnect`.
        _ = self.deliver(&Semaphore::new(1), connection_id, serialized(answer)).await;
    }

    /// Tells the sockets of an ended session so, and closes each, waiting for no other.
    pub async fn end(&self, sockets: Vec<ConnectionId>) {
        let permits = Semaphore::new(CONCURRENT_POSTS);
        let last_word = serialized(&Event::SessionRevoked {});
        let ends: FuturesUnordered<_> = sockets
            .iter()
            .map(async |socket| {
                _ = self.deliver(&permits, socket, last_word.clone()).await;
                self.hang_up(socket).await;
            })
            .collect();
        ends.collect::<()>().await;
    }

    /// Closes a socket.
    pub async fn hang_up(&self, connection_id: &ConnectionId) {
        _ = self.push.close(connection_id).await;
    }
}

fn serialized(frame: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(frame)
        .map(Bytes::from)
        .inspect_err(|error| tracing::error!(%error, "a frame cannot be written as JSON"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::FutureExt;
    use tokio::task::yield_now;

    use super::*;
    use crate::config::Config;

    /// Sockets that are dead, throttled or good by what their ids begin with.
    #[derive(Debug, Default)]
    struct Strange {
        delivered: AtomicUsize,
        tries: AtomicUsize,
        under_way: AtomicUsize,
        most_under_way: AtomicUsize,
        /// How many dead ones were being waited for at the last delivery.
        waited_for: AtomicUsize,
        /// What arrived where, in this order.
        heard: Mutex<Vec<(String, Bytes)>>,
        /// The sockets that were closed, and how many dead ones were being waited for then.
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

    fn ids<const N: usize>(ids: [&str; N]) -> [ConnectionId; N] {
        ids.map(|id| ConnectionId::new(id.to_owned()))
    }

    async fn broadcast_to(sockets: impl Iterator<Item = String>) -> Arc<Strange> {
        let (app, strange) = strange();
        app.broadcast(&"hello", sockets.map(ConnectionId::new)).await;
        strange
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
        app.answer(&ids(["busy-1"])[0], &"ack").await;
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
    async fn sockets_that_are_ended_wait_for_no_other() {
        let (app, sockets) = strange();
        app.end(ids(["dead-1", "good-1", "full-1"]).into()).await;
        assert_eq!(
            sockets.heard(),
            [("good-1".to_owned(), r#"{"event":"sessionRevoked","data":{}}"#.to_owned())]
        );
        let mut closed = sockets.closed.lock().unwrap().clone();
        assert_eq!(closed.remove(0), ("good-1".to_owned(), 1), "while the dead one was waited for");
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
