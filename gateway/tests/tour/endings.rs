//! How sockets end, and what `$disconnect` hears of it.

use std::time::{Duration, Instant};

use gateway::limits::{BYTES_WAITING, FRAME_BYTES, FRAMES_WAITING, Limits, MESSAGE_BYTES};
use serde_json::{Value, json};
use shared::push::{NotDelivered, Sockets};

use crate::harness::{Raw, Tour, UPGRADE};

/// A message for the function `record`, of this many bytes.
fn message(bytes: usize) -> String {
    let start = r#"{"action": "record", "filling": ""#;
    let end = r#""}"#;
    format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
}

/// What `$disconnect` hears: code and reason.
async fn heard(tour: &Tour) -> (u64, String) {
    let event = tour.event("disconnect").await;
    let context = &event["requestContext"];
    let reason = context["disconnectReason"].as_str().unwrap().to_owned();
    (context["disconnectStatusCode"].as_u64().unwrap(), reason)
}

async fn connection_id(tour: &Tour) -> String {
    tour.event("connect").await["requestContext"]["connectionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_frame_of_32_kb_arrives_and_a_larger_one_closes_with_1009() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    socket.send(message(FRAME_BYTES)).await;
    assert_eq!(tour.event("record").await["body"].as_str().unwrap().len(), 32 * 1024);

    for bytes in [FRAME_BYTES + 1, 33 * 1024] {
        let mut socket = tour.connect().await;
        socket.send(message(bytes)).await;
        assert_eq!(socket.closed().await.0, 1009);
        assert_eq!(heard(&tour).await.0, 1009);
    }
    assert!(!tour.functions.has_event("record"));
}

#[tokio::test]
async fn a_message_of_128_kb_arrives_and_a_larger_one_closes_with_1009() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    socket.send_in_fragments(&message(MESSAGE_BYTES), FRAME_BYTES).await;
    assert_eq!(tour.event("record").await["body"].as_str().unwrap().len(), 128 * 1024);

    socket.send_in_fragments(&message(129 * 1024), FRAME_BYTES).await;
    assert_eq!(socket.closed().await.0, 1009);
    assert_eq!(heard(&tour).await.0, 1009);
    assert!(!tour.functions.has_event("record"));
}

#[tokio::test]
async fn a_client_in_the_middle_of_a_huge_frame_still_reads_why_it_is_closed() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    socket.try_send(message(16 * 1024 * 1024)).await;
    assert_eq!(socket.closed().await.0, 1009);
}

#[tokio::test]
async fn a_binary_frame_closes_with_1003() {
    let tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    socket.send_binary(br#"{"action": "record"}"#).await;
    assert_eq!(socket.closed().await.0, 1003);
    assert_eq!(heard(&tour).await.0, 1003);
    assert!(!tour.functions.has_event("record"));
}

#[tokio::test]
async fn an_idle_socket_is_closed_with_1001() {
    let tour = Tour::limited(Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    let mut socket = tour.connect().await;
    assert_eq!(socket.closed().await, (1001, "Going away".to_owned()));
    assert_eq!(heard(&tour).await, (1001, "Going away".to_owned()));
    assert_eq!(Limits::default().idle_timeout, Duration::from_secs(10 * 60));
}

#[tokio::test]
async fn a_busy_socket_is_closed_with_1001_at_the_end_of_its_life() {
    let [idle_timeout, connection_duration] = [150, 450].map(Duration::from_millis);
    let tour = Tour::limited(Limits { idle_timeout, connection_duration, ..Limits::default() }).await;
    let started = Instant::now();
    let mut socket = tour.connect().await;
    // Each message is answered, so the socket idles only if messages do not count.
    let closed = async {
        loop {
            socket.try_send("no route".to_owned()).await;
            if let Some(closed) = socket.text_or_closed().await {
                break closed;
            }
        }
    };
    assert_eq!(closed.await, (1001, "Going away".to_owned()));
    assert!(started.elapsed() >= connection_duration, "closed for idleness");
    assert_eq!(heard(&tour).await.0, 1001);
    assert_eq!(Limits::default().connection_duration, Duration::from_secs(2 * 60 * 60));
}

#[tokio::test]
async fn a_push_keeps_a_socket_from_idling() {
    let [idle_timeout, connection_duration] = [150, 450].map(Duration::from_millis);
    let tour = Tour::limited(Limits { idle_timeout, connection_duration, ..Limits::default() }).await;
    let started = Instant::now();
    let mut socket = tour.connect().await;
    let id = connection_id(&tour).await;
    while tour.connections.post(&id, "still there?".into()).await.is_ok() {
        if let Some(closed) = socket.text_or_closed().await {
            assert_eq!(closed.0, 1001);
            break;
        }
    }
    assert!(started.elapsed() >= connection_duration, "closed for idleness");
}

/// A socket that does not read and whose queue is full, its id, and how many bytes it has taken.
async fn deaf(tour: &Tour) -> (Raw, String, usize) {
    let mut socket = Raw::request(tour, &UPGRADE).await;
    assert_eq!(socket.head().await.0, 101);
    let id = connection_id(tour).await;
    let frame = bytes::Bytes::from(vec![b'x'; MESSAGE_BYTES]);
    let (mut posts, mut refused) = (0, 0);
    // Until the socket takes no more, not only this queue.
    while refused < 10 {
        match tour.connections.post(&id, frame.clone()).await {
            Ok(()) => (posts, refused) = (posts + 1, 0),
            Err(NotDelivered::Throttled) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    (socket, id, posts * MESSAGE_BYTES)
}

/// The most that the buffers of the two ends hold of what has been sent.
const BUFFERS: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn a_socket_that_does_not_read_takes_so_much_and_the_others_get_everything() {
    let tour = Tour::with([]).await;
    let (_socket, id, taken) = deaf(&tour).await;
    assert!((BYTES_WAITING..BYTES_WAITING + BUFFERS).contains(&taken), "{taken} bytes");
    let mut good = tour.connect().await;
    let good_id = connection_id(&tour).await;
    for number in 0..2 * FRAMES_WAITING {
        _ = tour.connections.post(&id, "more".into()).await;
        assert_eq!(tour.connections.post(&good_id, number.to_string().into()).await, Ok(()));
        assert_eq!(good.receive().await, number.to_string());
    }
}

#[tokio::test]
async fn a_socket_that_does_not_read_is_closed_after_30_seconds() {
    let tour = Tour::limited(Limits { send_timeout: Duration::from_secs(1), ..Limits::default() }).await;
    let (_socket, id, _) = deaf(&tour).await;
    assert_eq!(heard(&tour).await, (1001, "Going away".to_owned()));
    assert_eq!(tour.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
    assert_eq!(Limits::default().send_timeout, Duration::from_secs(30));
}

#[tokio::test]
async fn a_socket_that_reads_what_it_gets_is_not_closed_for_deafness() {
    let deaf = Duration::from_millis(300);
    let tour = Tour::limited(Limits { send_timeout: deaf, ..Limits::default() }).await;
    let started = Instant::now();
    let mut socket = tour.connect().await;
    let id = connection_id(&tour).await;
    while started.elapsed() < 2 * deaf {
        assert_eq!(tour.connections.post(&id, "still there?".into()).await, Ok(()));
        assert_eq!(socket.receive().await, "still there?");
    }
}

#[tokio::test]
async fn a_delete_ends_a_socket_that_does_not_read() {
    let tour = Tour::with([]).await;
    let (_socket, id, _) = deaf(&tour).await;
    assert_eq!(tour.connections.close(&id).await, Ok(()));
    assert_eq!(tour.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
    assert_eq!(heard(&tour).await, (1000, "Connection Closed Normally".to_owned()));
}

#[tokio::test]
async fn a_gateway_stops_in_spite_of_a_socket_that_does_not_read() {
    let mut tour = Tour::with([]).await;
    let (_socket, ..) = deaf(&tour).await;
    tour.stop();
    assert_eq!(heard(&tour).await.0, 1001);
}

#[tokio::test]
async fn a_delete_closes_with_1000_and_disconnect_hears_it() {
    let tour = Tour::with([]).await;
    let mut sockets = Vec::new();
    // More than one: a close that overtook what was posted would not always do so.
    for _ in 0..8 {
        let mut socket = tour.connect().await;
        let id = connection_id(&tour).await;
        assert_eq!(tour.connections.post(&id, "farewell".into()).await, Ok(()));
        assert_eq!(tour.connections.close(&id).await, Ok(()));
        assert_eq!(socket.receive().await, "farewell");
        assert_eq!(socket.closed().await, (1000, "Connection Closed Normally".to_owned()));
        assert_eq!(tour.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
        sockets.push(socket);
    }
    for _ in sockets {
        assert_eq!(heard(&tour).await, (1000, "Connection Closed Normally".to_owned()));
    }
}

#[tokio::test]
async fn disconnect_hears_the_clients_code_and_reason() {
    let tour = Tour::with([]).await;
    let ends = [
        (None, 1005, "Client-side close frame status not set"),
        (Some((1000, "")), 1000, ""),
        (Some((1001, "")), 1001, ""),
        (Some((4001, "enough")), 4001, "enough"),
    ];
    for (close, code, reason) in ends {
        tour.connect().await.close(close).await;
        assert_eq!(heard(&tour).await, (code, reason.to_owned()));
    }
    drop(tour.connect().await);
    assert_eq!(heard(&tour).await.0, 1006);
}

#[tokio::test]
async fn a_disconnect_event_has_headers_of_its_own() {
    let tour = Tour::with([]).await;
    let (socket, _) = tour.handshake("/?token=1", &[("x-mine", "1")]).await.unwrap();
    socket.close(None).await;
    let event = tour.event("disconnect").await;
    let host = tour.address.to_string();
    let expected: Value = json!({
        "headers": { "Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": "" },
        "multiValueHeaders":
            { "Host": [host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""] },
        "isBase64Encoded": false,
    });
    let mut rest = event.clone();
    let context = rest.as_object_mut().unwrap().remove("requestContext").unwrap();
    assert_eq!(rest, expected);
    assert_eq!(context["routeKey"], "$disconnect");
    assert_eq!(context["eventType"], "DISCONNECT");
    assert_eq!(context["messageDirection"], "IN");
    assert_eq!(context.get("messageId"), None);
}

#[tokio::test]
async fn a_connection_is_gone_when_disconnect_runs() {
    let tour = Tour::with([("disconnect", crate::harness::Does::Hang)]).await;
    let socket = tour.connect().await;
    let id = connection_id(&tour).await;
    socket.close(None).await;
    heard(&tour).await;
    assert_eq!(tour.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
}

#[tokio::test]
async fn a_gateway_that_stops_closes_its_sockets_with_1001() {
    let mut tour = Tour::with([]).await;
    let mut socket = tour.connect().await;
    tour.stop();
    assert_eq!(socket.closed().await.0, 1001);
    assert_eq!(heard(&tour).await.0, 1001);
}
