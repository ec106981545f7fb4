//! Metrics, readiness and logs: docs/operating.md, "What to watch".

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Server, TestApp};
use crate::stopping::freezable_database;

/// The value of a series, 0 if there is none.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn metrics_count_requests_frames_batches_and_posts_with_bounded_labels() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let metrics_at = format!("127.0.0.1:{}", Server::free_port().await);
    let server = Server::start(&app, &[("METRICS_LISTEN", &metrics_at)]).await;
    let metrics = async || {
        let answer = app.http.get(format!("http://{metrics_at}/metrics")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    };
    let (mut anns, mut bobs) = (server.connect(&ann).await, server.connect(&bob).await);
    for number in 0..3 {
        anns.acked("sendMessage", json!({"roomId": room, "content": format!("message {number}")})).await;
        bobs.receives("receiveMessage").await;
    }
    anns.refused("sendMessage", json!({"roomId": 0, "content": "to nobody"}), "room_not_found").await;
    anns.ask("no such event", json!({})).await;
    let here = ann.at(&server.url());
    here.says(room, "over REST").await.created();
    here.get("/api/rooms/999999999").await.refused(404, "room_not_found");
    let nowhere = app.http.get(format!("{}/a/path/that/is/nowhere", server.url())).send().await.unwrap();
    assert_eq!(nowhere.status(), 404);

    let found = metrics().await;
    for (series, count) in [
        (r#"coterie_frames_seconds_count{event="sendMessage",outcome="ok"}"#, 3.0),
        (r#"coterie_frames_seconds_count{event="sendMessage",outcome="error"}"#, 1.0),
        (r#"coterie_frames_seconds_count{event="unknown",outcome="error"}"#, 1.0),
        (r#"coterie_requests_seconds_count{function="send-message",outcome="ok"}"#, 1.0),
        (r#"coterie_requests_seconds_count{function="get-room",outcome="refused"}"#, 1.0),
        (r#"coterie_requests_seconds_count{function="message",outcome="ok"}"#, 5.0),
        (r#"coterie_requests_seconds_count{function="connect",outcome="ok"}"#, 2.0),
        ("coterie_sockets", 2.0),
        ("coterie_messages_waiting", 0.0),
        ("coterie_draining", 0.0),
    ] {
        assert_eq!(value(&found, series), count, "{series} in\n{found}");
    }
    for at_least_one in [
        r#"coterie_database_seconds_count{kind="statement"}"#,
        r#"coterie_database_seconds_count{kind="transaction"}"#,
        r#"coterie_batch_messages_sum"#,
        r#"coterie_notice_sockets_count"#,
        r#"coterie_posts_total{outcome="at once"}"#,
        r#"coterie_database_connections{state="idle"}"#,
    ] {
        assert!(value(&found, at_least_one) >= 1.0, "{at_least_one} in\n{found}");
    }
    assert!(found.contains(r#"coterie_frames_seconds_bucket{event="sendMessage",outcome="ok",le="0.25"} "#));
    assert!(found.contains(r#"coterie_jobs_waiting{queue=""#));
    assert!(!found.contains("nowhere") && !found.contains("no such event"), "{found}");
    // The server's own port has none of it.
    assert_eq!(app.http.get(format!("{}/metrics", server.url())).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_server_is_not_ready_without_its_database_and_while_it_stops_but_it_lives() {
    let app = TestApp::start().await;
    let (url, frozen) = freezable_database(&app).await;
    let metrics_at = format!("127.0.0.1:{}", Server::free_port().await);
    let mut server = Server::start(&app, &[("METRICS_LISTEN", &metrics_at), ("DATABASE_URL", &url)]).await;
    let ask = async |path: &str| {
        let answer = app.http.get(format!("http://{metrics_at}{path}")).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["status"].as_str().unwrap().to_owned())
    };
    let is = |status, text: &str| (status, text.to_owned());
    assert_eq!(ask("/ready").await, is(200, "ready"));
    frozen.send_replace(true);
    assert_eq!(ask("/ready").await, is(503, "database unavailable"));
    assert_eq!(ask("/live").await, is(200, "live"));

    // A request that is under way keeps the server for a while. It is under way once its body is asked for.
    let mut asking = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).await.unwrap();
    let head =
        "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    asking.write_all(head.as_bytes()).await.unwrap();
    let mut asked_for = [0; 12];
    asking.read_exact(&mut asked_for).await.unwrap();
    assert_eq!(&asked_for, b"HTTP/1.1 100");
    server.send(Signal::TERM);
    while ask("/ready").await != is(503, "draining") {}
    asking.write_all(b"{}").await.unwrap();
    assert!(server.end().await.success());
}

#[tokio::test]
async fn logs_are_json_if_asked_for() {
    let app = TestApp::start().await;
    let mut server = Server::start(&app, &[("LOG_FORMAT", "json"), ("RUST_LOG", "info")]).await;
    // The log of the error of a request has its function and its id.
    let ann = app.user("ann").await.at(&server.url());
    app.run("RENAME TABLE rate_limits TO rate_limits_elsewhere", ()).await;
    let problem = ann.get("/api/profile/me").await.refused(500, "internal");
    let line = server.line_with(&["a request failed"]).await.unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let span = json!({"name": "request", "function": "get-profile", "request_id": problem["requestId"]});
    assert_eq!(line["span"], span, "{line}");
    app.run("RENAME TABLE rate_limits_elsewhere TO rate_limits", ()).await;
    server.send(Signal::TERM);
    while let Some(line) = server.line_with(&[""]).await {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let refused = Server::try_start(&app, &[], &[("LOG_FORMAT", "xml")]).await.err().unwrap();
    assert!(refused.contains("LOG_FORMAT must be `text` or `json`"), "{refused}");
}
