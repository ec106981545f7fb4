//! How a server ends, and what the next one makes of a server that was killed: docs/contract.md, "One machine".

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mysql_async::Opts;
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::{Person, Server, Socket, TestApp};

/// Long enough for everything that these tests wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Passes everything on, unless it is frozen.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut frozen: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if frozen.wait_for(|&frozen| !frozen).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A way to the database that can be frozen: its URL, and the switch.
pub async fn freezable_database(app: &TestApp) -> (String, watch::Sender<bool>) {
    let settings = app.settings();
    let (_, url) = settings.iter().find(|(name, _)| name == "DATABASE_URL").unwrap();
    let database = Opts::from_url(url).unwrap();
    let target = (database.ip_or_hostname().to_owned(), database.tcp_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = url.replace(&format!(":{}/", target.1), &format!(":{port}/"));
    let switch = watch::Sender::new(false);
    let frozen = switch.subscribe();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target.clone()).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(forward(from_client, to_server, frozen.clone()));
            tokio::spawn(forward(from_server, to_client, frozen.clone()));
        }
    });
    (url, switch)
}

async fn befriend(one: &Person, other: &Person) {
    one.post("/api/friend-requests", json!({"userId": other.user_id})).await.created();
    other.post("/api/friend-requests", json!({"userId": one.user_id})).await.created();
}

#[tokio::test]
async fn a_server_that_stops_answers_every_send_that_it_has_stored() {
    let app = TestApp::with(&[("MESSAGE_LIMIT", "0")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut sockets = join_all((0..4).map(|_| ann.connect())).await;
    for socket in &mut sockets {
        for number in 0..5 {
            socket.send("sendMessage", json!({"roomId": room, "content": format!("frame {number}")})).await;
        }
    }
    let request = async |number: usize| {
        let request = app.http.post(format!("{}/api/messages", app.url)).bearer_auth(&ann.access_token);
        let body = json!({"roomId": room, "content": format!("request {number}")});
        // A client that comes too late gets no connection.
        request.json(&body).send().await.is_ok_and(|answer| answer.status() == 201)
    };
    let stop = async {
        let first = sockets[0].receive().await;
        app.stop();
        let ends = join_all(sockets.iter_mut().map(Socket::until_closed)).await;
        assert!(ends.iter().all(|(_, code)| *code == 1001));
        let frames = ends.into_iter().flat_map(|(frames, _)| frames).chain([first]);
        frames.filter(|frame| frame["event"] == "ack").count()
    };
    let (requests, acks) = tokio::join!(join_all((0..10).map(request)), stop);
    let created = requests.iter().filter(|&&created| created).count();
    let stored = |what: &str| format!("SELECT COUNT(*) FROM messages WHERE content LIKE '{what}%'");
    assert_eq!(app.rows::<usize>(&stored("frame")).await, [acks]);
    assert_eq!(app.rows::<usize>(&stored("request")).await, [created]);
    assert!(acks > 0, "no send was under way");
}

#[tokio::test]
async fn a_start_ends_the_sockets_of_a_killed_process_and_of_no_other() {
    let app = TestApp::start().await;
    let (ann, bob, cat) = (app.user("ann").await, app.user("bob").await, app.user("cat").await);
    befriend(&ann, &bob).await;
    let (mut killed, living) = (Server::start(&app, &[]).await, Server::start(&app, &[]).await);
    let _anns = [killed.connect(&ann).await, killed.connect(&ann).await];
    let mut cats = living.connect(&cat).await;
    killed.signal(Signal::KILL).await;

    let next = Server::start(&app, &[]).await;
    let mut bobs = next.connect(&bob).await.hearing_presence();
    assert_eq!(bobs.receives("presence").await, json!({"userId": ann.user_id, "online": false}));
    let open = "SELECT user_id FROM connections WHERE expires_at > UTC_TIMESTAMP(3) ORDER BY user_id";
    assert_eq!(app.rows::<String>(open).await, [bob.user_id.clone(), cat.user_id.clone()]);
    cats.has_nothing().await;
    bobs.has_nothing().await;
}

/// More sockets than a server has connections to its database.
const MANY: usize = 50;

#[tokio::test]
async fn a_server_that_stops_ends_all_its_sockets_before_its_database() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut server = Server::start(&app, &[("MAX_SOCKETS", "0")]).await;
    let mut sockets = join_all((0..MANY).map(|_| server.connect(&ann))).await;
    assert!(server.signal(Signal::TERM).await.success());
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 1001);
    }
    assert_eq!(app.rows::<usize>("SELECT COUNT(*) FROM connections").await, [0]);
    assert_eq!(server.warning().await, None);
}

#[tokio::test]
async fn a_server_logs_no_error_for_sockets_whose_end_takes_the_database_too_long() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut server = Server::start(&app, &[("MAX_SOCKETS", "0")]).await;
    let _anns = join_all((0..MANY).map(|_| server.connect(&ann))).await;
    let mut holder = app.holding("SELECT 1 FROM connections FOR UPDATE").await;
    server.send(Signal::TERM);
    let warning = server.warning().await.expect("it warns");
    assert!(warning.contains("stopped before all sockets and jobs had ended"), "{warning}");
    // Connections to the database become free now, for which the functions of most sockets wait.
    holder.query_drop("ROLLBACK").await.unwrap();
    assert_eq!(server.warning().await, None);
}

#[tokio::test]
async fn a_server_ends_within_ten_seconds_though_its_database_hangs() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let (url, frozen) = freezable_database(&app).await;
    let mut server = Server::start(&app, &[("DATABASE_URL", &url)]).await;
    let mut socket = server.connect(&ann).await;
    socket.acked("sendMessage", json!({"roomId": room, "content": "Hello"})).await;
    frozen.send_replace(true);
    socket.send("sendMessage", json!({"roomId": room, "content": "Is anybody there?"})).await;
    let start = Instant::now();
    assert!(server.signal(Signal::TERM).await.success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(socket.closed().await, 1001);
}

#[tokio::test]
async fn a_process_takes_its_lock_again_when_the_database_has_closed_its_connection() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let server = Server::start(&app, &[]).await;
    let _anns = server.connect(&ann).await;
    let holder = "SELECT COALESCE(MAX(IS_USED_LOCK(process_id)), 0) FROM connections";
    let first: u64 = app.rows(holder).await.remove(0);
    assert_ne!(first, 0);
    app.run(&format!("KILL {first}"), ()).await;
    let taken_again = async { while [0, first].contains(&app.rows::<u64>(holder).await[0]) {} };
    timeout(PATIENCE, taken_again).await.expect("the lock is taken again");
}
