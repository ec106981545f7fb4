//! What an act costs in round trips to the database, whatever the size of a room. PREPARE does not count:
//! a connection does it once for each statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use mysql_async::OptsBuilder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::TestApp;

/// A server whose database is behind a proxy that counts.
async fn counted() -> (TestApp, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counter = count.clone();
    let app = TestApp::adjusted(move |config| {
        let server = (config.database.ip_or_hostname().to_owned(), config.database.tcp_port());
        let through = OptsBuilder::from_opts(config.database.clone()).ip_or_hostname("127.0.0.1");
        config.database = through.tcp_port(port).into();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (questions, mut answered) = client.into_split();
                let (mut answers, asked) = TcpStream::connect(server.clone()).await.unwrap().into_split();
                tokio::spawn(ask(questions, asked, counter.clone()));
                tokio::spawn(async move { copy(&mut answers, &mut answered).await });
            }
        });
    });
    (app.await, count)
}

/// Hands on what a client asks of the server, packet by packet (MySQL Internals, "MySQL Packets": three
/// bytes of length, the number in the conversation, and in the first packet of a conversation the
/// command), until one of them hangs up.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: Arc<AtomicUsize>) {
    const COM_QUERY: u8 = 0x03;
    const COM_STMT_EXECUTE: u8 = 0x17;
    let mut header = [0; 4];
    while from.read_exact(&mut header).await.is_ok() {
        let mut packet = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
        if from.read_exact(&mut packet).await.is_err() {
            return;
        }
        if header[3] == 0 && matches!(packet.first(), Some(&(COM_QUERY | COM_STMT_EXECUTE))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if to.write_all(&header).await.is_err() || to.write_all(&packet).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_message_by_frame_takes_five_round_trips_and_by_rest_six_with_its_limit_and_for_any_room() {
    let (app, count) = counted().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    let draft = json!({"roomId": room, "content": "hello"});
    let mut listeners = Vec::new();
    for members in [1, 5] {
        if members == 5 {
            for number in 0..4 {
                let guest = app.prime(&format!("guest{number}")).await;
                guest.joins(room).await.created();
                listeners.push(guest.connect().await);
                socket.receives("userJoined").await;
            }
        }
        // The first of a user opens the window that the others count in.
        for round in 0..3 {
            let before = count.load(Ordering::Relaxed);
            socket.acked("sendMessage", draft.clone()).await;
            let by_frame = count.load(Ordering::Relaxed);
            ann.post("/api/messages", draft.clone()).await.created();
            let by_rest = count.load(Ordering::Relaxed);
            socket.receives("receiveMessage").await;
            if (members, round) != (1, 0) {
                assert_eq!((by_frame - before, by_rest - by_frame), (5, 6), "{members} members");
            }
        }
    }
}

#[tokio::test]
async fn another_frame_takes_two_round_trips_before_it_acts_and_a_revision_as_many_for_any_room() {
    let (app, count) = counted().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    let mut taken = Vec::new();
    for members in [1, 5] {
        if members == 5 {
            let names: Vec<_> = (0..4).map(|number| format!("guest{number}")).collect();
            for guest in join_all(names.iter().map(|name| app.prime(name))).await {
                guest.joins(room).await.created();
                socket.receives("userJoined").await;
            }
        }
        let message = socket.acked("sendMessage", json!({"roomId": room, "content": "hello"})).await;
        let message = message["message"]["messageId"].clone();
        let began = count.load(Ordering::Relaxed);
        socket.ask("ping", json!({})).await;
        let ponged = count.load(Ordering::Relaxed);
        socket.acked("editMessage", json!({"messageId": message, "content": "Hello"})).await;
        let edited = count.load(Ordering::Relaxed);
        socket.acked("deleteMessage", json!({"messageId": message})).await;
        let deleted = count.load(Ordering::Relaxed);
        taken.push([ponged - began, edited - ponged, deleted - edited]);
    }
    // BEGIN, the room, the socket, the message, the number, the change, COMMIT, and whom to tell.
    assert_eq!(taken, [[2, 2 + 8, 2 + 8]; 2]);
}
