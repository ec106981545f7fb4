//! A message to 10,000 open sockets, measured. docs/scaling.md has the figures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use futures_util::future::BoxFuture;
use gateway::invoke::{Failure, Functions, InProcess};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::binaries::{Running, answer, lambda, runtime, started};
use crate::harness::TestApp;
use crate::websocket::fanning_out::crowd;

/// A channel has 1000 members, the sender among them, and a user so many sockets.
const MEMBERS: u32 = 999;
const SOCKETS_EACH: usize = 10;
const SOCKETS: usize = MEMBERS as usize * SOCKETS_EACH;
/// How long API Gateway takes to answer a post: assumed.
const LATENCY: Duration = Duration::from_millis(10);
/// The `MaximumConcurrency` of `FanOutFunction`.
const WORKERS: usize = 4;
const ROUNDS: usize = 5;

/// All functions, of which `fan-out` runs in processes of its own. As in Lambda, each of them has one event at a time.
struct Separate {
    functions: InProcess,
    idle: Arc<Mutex<Vec<Worker>>>,
}

struct Worker {
    events: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<(String, Value)>,
    _process: Running,
}

impl Functions for Separate {
    fn invoke(
        &self,
        name: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        if name != "fan-out" {
            return self.functions.invoke(name, request_id, event);
        }
        let idle = self.idle.clone();
        Box::pin(async move {
            let worker = idle.lock().unwrap().pop();
            let mut worker =
                worker.expect("the queue gives the function more events than MaximumConcurrency");
            worker.events.send(event.get().to_owned()).unwrap();
            let (outcome, answer) = answer("fan-out", &mut worker.answers).await;
            idle.lock().unwrap().push(worker);
            assert_eq!(outcome, "response", "{answer}");
            Ok(to_raw_value(&answer).unwrap())
        })
    }
}

/// The posts that were answered.
#[derive(Debug, Default)]
struct Posts {
    count: watch::Sender<usize>,
    /// How many each socket has got, by the path of its posts.
    by_socket: Mutex<BTreeMap<String, usize>>,
}

/// Serves an `@connections` endpoint that answers each post after [`LATENCY`], and returns its address.
async fn sockets(posts: Arc<Posts>) -> String {
    let post = async move |method: Method, uri: Uri| {
        assert_eq!(method, Method::POST);
        sleep(LATENCY).await;
        *posts.by_socket.lock().unwrap().entry(uri.path().to_owned()).or_default() += 1;
        posts.count.send_modify(|count| *count += 1);
        StatusCode::OK
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(post)).await });
    endpoint
}

/// Sends messages, and prints how long the sender waits and the posts take. Each socket gets each message once.
async fn measure(posts: &Posts, how: &str, send: impl AsyncFn()) {
    for round in 1..=ROUNDS {
        posts.by_socket.lock().unwrap().clear();
        let mut count = posts.count.subscribe();
        let all = *count.borrow() + SOCKETS;
        let start = Instant::now();
        send().await;
        let answered = start.elapsed().as_millis();
        let posted = timeout(Duration::from_secs(60), count.wait_for(|&count| count >= all)).await;
        posted.expect("posts are missing").unwrap();
        let done = start.elapsed().as_millis();
        println!(
            "{how}, {round}: the sender has an answer after {answered} ms, and {SOCKETS} posts after {done} ms"
        );
        let by_socket = posts.by_socket.lock().unwrap();
        assert_eq!((by_socket.len(), by_socket.values().max()), (SOCKETS, Some(&1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a release build on an idle machine: docs/scaling.md"]
async fn a_message_to_ten_thousand_sockets() {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let workers = idle.clone();
    let app = TestApp::wrapped(|_| (), |functions| Arc::new(Separate { functions, idle: workers })).await;
    let posts = Arc::new(Posts::default());
    let endpoint = sockets(posts.clone()).await;
    for _ in 0..WORKERS {
        let (runtime, events, answers) = runtime().await;
        let process = started("fan-out", lambda(&app, "fan-out", &runtime, &endpoint));
        idle.lock().unwrap().push(Worker { events, answers, _process: process });
    }
    let ann = app.prime("ann").await;
    app.set_role(&ann, "admin").await;
    let room = ann.makes_a_channel("Everybody").await;
    crowd(&app, &ann, room, MEMBERS, 0).await;
    let rows = format!(
        "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
         WITH RECURSIVE socket (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM socket WHERE n < {SOCKETS_EACH})
         SELECT CONCAT(user_id, '-', n, '='), user_id, session_id, UTC_TIMESTAMP(3) - INTERVAL 2 MINUTE,
                UTC_TIMESTAMP(3) + INTERVAL 1 HOUR FROM sessions, socket WHERE user_id <> ?"
    );
    app.run(&rows, (&ann.user_id,)).await;

    measure(&posts, "REST", async || drop(ann.says(room, "Hello").await.created())).await;
    let anns = tokio::sync::Mutex::new(ann.connect().await);
    let message = json!({"roomId": room, "content": "Hello"});
    measure(&posts, "Frame", async || drop(anns.lock().await.acked("sendMessage", message.clone()).await))
        .await;
}
