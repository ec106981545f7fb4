//! How sockets end, and which code and reason `$disconnect` receives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::Gateway;
use gateway::limits::{
    BYTES_WAITING, CONCURRENT_DISCONNECTS, FRAME_BYTES, FRAMES_WAITING, GatewayLimits, MESSAGE_BYTES,
};
use serde_json::{Value, json};
use shared::base::push::{NotDelivered, Sockets};
use tokio::sync::Notify;

use crate::harness::{Behavior, RawConnection, TEMPLATE, TestGateway, UPGRADE, template};

/// A message of this many bytes for the function `record`.
fn message(bytes: usize) -> String {
    let start = r#"{"action": "record", "filling": ""#;
    let end = r#""}"#;
    format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
}

/// The code and reason of the next `$disconnect` event.
async fn disconnected(gateway: &TestGateway) -> (u64, String) {
    let event = gateway.event("disconnect").await;
    let context = &event["requestContext"];
    let reason = context["disconnectReason"].as_str().unwrap().to_owned();
    (context["disconnectStatusCode"].as_u64().unwrap(), reason)
}

#[tokio::test]
async fn a_frame_of_32_kb_arrives_and_a_larger_one_closes_with_1009() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    socket.send(message(FRAME_BYTES)).await;
    assert_eq!(gateway.event("record").await["body"].as_str().unwrap().len(), 32 * 1024);

    for bytes in [FRAME_BYTES + 1, 33 * 1024] {
        let mut socket = gateway.connect().await;
        socket.send(message(bytes)).await;
        assert_eq!(socket.closed().await.0, 1009);
        assert_eq!(disconnected(&gateway).await.0, 1009);
    }
    assert!(!gateway.functions.has_event("record"));
}

#[tokio::test]
async fn a_message_of_128_kb_arrives_and_a_larger_one_closes_with_1009() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    socket.send_in_fragments(&message(MESSAGE_BYTES), FRAME_BYTES).await;
    assert_eq!(gateway.event("record").await["body"].as_str().unwrap().len(), 128 * 1024);

    socket.send_in_fragments(&message(129 * 1024), FRAME_BYTES).await;
    assert_eq!(socket.closed().await.0, 1009);
    assert_eq!(disconnected(&gateway).await.0, 1009);
    assert!(!gateway.functions.has_event("record"));
}

#[tokio::test]
async fn a_client_that_is_still_sending_a_huge_frame_receives_the_close() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    socket.try_send(message(16 * 1024 * 1024)).await;
    assert_eq!(socket.closed().await.0, 1009);
}

#[tokio::test]
async fn a_binary_frame_closes_with_1003() {
    let gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    socket.send_binary(br#"{"action": "record"}"#).await;
    assert_eq!(socket.closed().await.0, 1003);
    assert_eq!(disconnected(&gateway).await.0, 1003);
    assert!(!gateway.functions.has_event("record"));
}

#[tokio::test]
async fn an_idle_socket_is_closed_with_1001() {
    let gateway = TestGateway::with_limits(GatewayLimits {
        idle_timeout: Duration::from_millis(50),
        ..GatewayLimits::default()
    })
    .await;
    let mut socket = gateway.connect().await;
    assert_eq!(socket.closed().await, (1001, "Going away".to_owned()));
    assert_eq!(disconnected(&gateway).await, (1001, "Going away".to_owned()));
    assert_eq!(GatewayLimits::default().idle_timeout, Duration::from_secs(10 * 60));
}

#[tokio::test]
async fn a_busy_socket_is_closed_with_1001_after_the_connection_duration() {
    let [idle_timeout, connection_duration] = [150, 450].map(Duration::from_millis);
    let gateway = TestGateway::with_limits(GatewayLimits {
        idle_timeout,
        connection_duration,
        ..GatewayLimits::default()
    })
    .await;
    let started = Instant::now();
    let mut socket = gateway.connect().await;
    // Each message gets an error, so the socket is idle only if messages do not count.
    let closed = async {
        loop {
            socket.try_send("no route".to_owned()).await;
            if let Some(closed) = socket.text_or_closed().await {
                break closed;
            }
        }
    };
    assert_eq!(closed.await, (1001, "Going away".to_owned()));
    assert!(started.elapsed() >= connection_duration, "closed as idle");
    assert_eq!(disconnected(&gateway).await.0, 1001);
    assert_eq!(GatewayLimits::default().connection_duration, Duration::from_secs(2 * 60 * 60));
}

#[tokio::test]
async fn a_push_resets_the_idle_timeout() {
    let [idle_timeout, connection_duration] = [150, 450].map(Duration::from_millis);
    let gateway = TestGateway::with_limits(GatewayLimits {
        idle_timeout,
        connection_duration,
        ..GatewayLimits::default()
    })
    .await;
    let started = Instant::now();
    let mut socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    while gateway.connections.post(&id, "still there?".into()).await.is_ok() {
        if let Some(closed) = socket.text_or_closed().await {
            assert_eq!(closed.0, 1001);
            break;
        }
    }
    assert!(started.elapsed() >= connection_duration, "closed as idle");
}

/// A socket that does not read and whose queue is full, its id, and how many bytes were posted to it.
async fn full_socket(gateway: &TestGateway) -> (RawConnection, String, usize) {
    let mut socket = RawConnection::request(gateway, &UPGRADE).await;
    assert_eq!(socket.head().await.0, 101);
    let id = gateway.connection_id().await;
    let frame = bytes::Bytes::from(vec![b'x'; MESSAGE_BYTES]);
    let (mut accepted, mut refused) = (0, 0);
    // Several refusals in a row mean that the buffers of the system are full too, not only the queue.
    while refused < 10 {
        match gateway.connections.post(&id, frame.clone()).await {
            Ok(()) => (accepted, refused) = (accepted + 1, 0),
            Err(NotDelivered::Throttled) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    (socket, id, accepted * MESSAGE_BYTES)
}

/// The most bytes that the buffers of the system hold at both ends.
const BUFFERS: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn a_socket_that_does_not_read_has_a_bounded_queue_and_does_not_block_others() {
    let gateway = TestGateway::with_functions([]).await;
    let (_socket, id, posted) = full_socket(&gateway).await;
    assert!((BYTES_WAITING..BYTES_WAITING + BUFFERS).contains(&posted), "{posted} bytes");
    let mut reading = gateway.connect().await;
    let reading_id = gateway.connection_id().await;
    for number in 0..2 * FRAMES_WAITING {
        _ = gateway.connections.post(&id, "more".into()).await;
        assert_eq!(gateway.connections.post(&reading_id, number.to_string().into()).await, Ok(()));
        assert_eq!(reading.receive().await, number.to_string());
    }
}

#[tokio::test]
async fn a_socket_that_does_not_read_is_closed_after_30_seconds() {
    let gateway = TestGateway::with_limits(GatewayLimits {
        send_timeout: Duration::from_secs(1),
        ..GatewayLimits::default()
    })
    .await;
    let (_socket, id, _) = full_socket(&gateway).await;
    assert_eq!(disconnected(&gateway).await, (1001, "Going away".to_owned()));
    assert_eq!(gateway.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
    assert_eq!(GatewayLimits::default().send_timeout, Duration::from_secs(30));
}

#[tokio::test]
async fn a_socket_that_reads_is_not_closed_by_the_send_timeout() {
    let send_timeout = Duration::from_millis(300);
    let gateway = TestGateway::with_limits(GatewayLimits { send_timeout, ..GatewayLimits::default() }).await;
    let started = Instant::now();
    let mut socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    while started.elapsed() < 2 * send_timeout {
        assert_eq!(gateway.connections.post(&id, "still there?".into()).await, Ok(()));
        assert_eq!(socket.receive().await, "still there?");
    }
}

#[tokio::test]
async fn a_delete_closes_a_socket_that_does_not_read() {
    let gateway = TestGateway::with_functions([]).await;
    let (_socket, id, _) = full_socket(&gateway).await;
    assert_eq!(gateway.connections.close(&id).await, Ok(()));
    assert_eq!(gateway.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
    assert_eq!(disconnected(&gateway).await, (1000, "Connection Closed Normally".to_owned()));
}

#[tokio::test]
async fn a_gateway_stops_despite_a_socket_that_does_not_read() {
    let mut gateway = TestGateway::with_functions([]).await;
    let (_socket, ..) = full_socket(&gateway).await;
    gateway.stop();
    assert_eq!(disconnected(&gateway).await.0, 1001);
}

#[tokio::test]
async fn a_delete_closes_with_1000_and_invokes_disconnect() {
    let gateway = TestGateway::with_functions([]).await;
    let mut sockets = Vec::new();
    // Several sockets, because a close would not overtake a posted frame every time.
    for _ in 0..8 {
        let mut socket = gateway.connect().await;
        let id = gateway.connection_id().await;
        assert_eq!(gateway.connections.post(&id, "farewell".into()).await, Ok(()));
        assert_eq!(gateway.connections.close(&id).await, Ok(()));
        assert_eq!(socket.receive().await, "farewell");
        assert_eq!(socket.closed().await, (1000, "Connection Closed Normally".to_owned()));
        assert_eq!(gateway.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
        sockets.push(socket);
    }
    for _ in sockets {
        assert_eq!(disconnected(&gateway).await, (1000, "Connection Closed Normally".to_owned()));
    }
}

#[tokio::test]
async fn a_disconnect_event_has_the_clients_code_and_reason() {
    let gateway = TestGateway::with_functions([]).await;
    let closes = [
        (None, 1005, "Client-side close frame status not set"),
        (Some((1000, "")), 1000, ""),
        (Some((1001, "")), 1001, ""),
        (Some((4001, "enough")), 4001, "enough"),
    ];
    for (close, code, reason) in closes {
        gateway.connect().await.close(close).await;
        assert_eq!(disconnected(&gateway).await, (code, reason.to_owned()));
    }
    drop(gateway.connect().await);
    assert_eq!(disconnected(&gateway).await.0, 1006);
}

#[tokio::test]
async fn many_disconnect_functions_run_one_after_the_other() {
    let ends = Arc::new(Notify::new());
    let gateway = TestGateway::with_functions([("disconnect", Behavior::WaitFor(ends.clone()))]).await;
    let mut other = gateway.connect().await;
    for _ in 0..=CONCURRENT_DISCONNECTS {
        gateway.connect().await.close(None).await;
    }
    for _ in 0..CONCURRENT_DISCONNECTS {
        gateway.event("disconnect").await;
    }
    // The others are served meanwhile.
    other.send("no route").await;
    other.receive().await;
    assert!(!gateway.functions.has_event("disconnect"));
    ends.notify_one();
    gateway.event("disconnect").await;
}

#[tokio::test]
async fn a_disconnect_event_has_none_of_the_clients_headers() {
    let gateway = TestGateway::with_functions([]).await;
    let (socket, _) = gateway.handshake("/?token=1", &[("x-mine", "1")]).await.unwrap();
    socket.close(None).await;
    let event = gateway.event("disconnect").await;
    let host = gateway.address.to_string();
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
    let gateway = TestGateway::with_functions([("disconnect", Behavior::Hang)]).await;
    let socket = gateway.connect().await;
    let id = gateway.connection_id().await;
    socket.close(None).await;
    disconnected(&gateway).await;
    assert_eq!(gateway.connections.post(&id, "too late".into()).await, Err(NotDelivered::Gone));
}

#[tokio::test]
async fn a_gateway_that_stops_closes_its_sockets_with_1001() {
    let mut gateway = TestGateway::with_functions([]).await;
    let mut socket = gateway.connect().await;
    gateway.stop();
    assert_eq!(socket.closed().await.0, 1001);
    assert_eq!(disconnected(&gateway).await.0, 1001);
}

#[tokio::test]
async fn a_gateway_that_stops_first_sends_the_farewell_of_its_program() {
    let with_farewell = |gateway: Gateway| gateway.with_farewell(|_| Some("goodbye".into()));
    let mut gateway =
        TestGateway::adjusted(template(TEMPLATE), [], GatewayLimits::default(), with_farewell).await;
    let mut socket = gateway.connect().await;
    gateway.stop();
    assert_eq!(socket.receive().await, "goodbye");
    assert_eq!(socket.closed().await.0, 1001);
}
