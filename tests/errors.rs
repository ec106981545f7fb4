//! Problems and their codes: docs/contract.md, "5. Errors".

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use serde_json::json;
use shared::Error;
use shared::base::db::Db;
use shared::base::transaction::Transaction;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite;

use crate::harness::{Answer, Person, Statements, TestApp};

#[tokio::test]
async fn a_problem_has_type_title_status_detail_and_code() {
    let app = TestApp::start().await;
    let answer = app.get("/api/profile/me").await;
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(
        answer.refused(401, "unauthenticated"),
        json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401,
            "detail": "Sign in and send the access token as `Authorization: Bearer <accessToken>`.",
            "code": "unauthenticated"
        })
    );
}

#[tokio::test]
async fn anybody_can_see_that_the_service_is_healthy() {
    let app = TestApp::start().await;
    let health = app.get("/health").await.ok();
    assert_eq!((&health["status"], &health["database"]), (&json!("ok"), &json!("ok")));
}

#[tokio::test]
async fn an_unreachable_database_gives_503_with_retry_after_everywhere() {
    let app = TestApp::without_database().await;
    let answers = [
        app.get("/health").await,
        app.post("/api/auth/login", json!({"userId": "ann", "password": "correct horse"})).await,
        app.post("/api/auth/register", json!({"userId": "ann", "password": "correct horse"})).await,
    ];
    for answer in answers {
        assert_eq!(answer.headers["retry-after"], "2");
        let problem = answer.refused(503, "database_unavailable");
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    }
}

/// The longest that a request may wait for a database that is silent: 5 seconds, and the time of the machine.
const PATIENCE: Duration = Duration::from_secs(7);

/// Checks that a handshake is refused with 503 and `Retry-After`.
async fn handshake_is_unavailable(app: &TestApp, query: &str) {
    match connect_async(format!("{}/{query}", app.sockets)).await {
        Err(tungstenite::Error::Http(refusal)) => {
            assert_eq!(
                (refusal.status().as_u16(), &refusal.headers()["retry-after"]),
                (503, &"2".parse().unwrap())
            );
            let body = String::from_utf8_lossy(refusal.body().as_deref().unwrap()).into_owned();
            assert!(body.contains("database_unavailable"), "{body}");
        }
        other => panic!("{other:?}"),
    }
}

/// Checks that requests and handshakes are refused with 503 and `Retry-After`, in time.
async fn everything_is_unavailable(app: &TestApp, ann: Option<&Person>) {
    let began = Instant::now();
    let login = json!({"userId": "ann", "password": "ann's password"});
    let public = async {
        let (health, login) = tokio::join!(app.get("/health"), app.post("/api/auth/login", login));
        vec![health, login]
    };
    let own = async {
        let Some(ann) = ann else { return Vec::new() };
        let token = format!("?token={}", ann.access_token);
        let (profile, sent, ()) = tokio::join!(
            ann.get("/api/profile/me"),
            ann.says(1, "Hello"),
            handshake_is_unavailable(app, &token)
        );
        vec![profile, sent]
    };
    let (public, own, ()) = tokio::join!(public, own, handshake_is_unavailable(app, "?ticket=x"));
    for answer in public.into_iter().chain(own) {
        assert_eq!(answer.headers["retry-after"], "2");
        answer.refused(503, "database_unavailable");
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_silent_database_gives_503_with_retry_after_in_five_seconds() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    // There is no connection yet, as when Aurora was paused.
    statements.be_silent();
    everything_is_unavailable(&app, None).await;
    statements.speak();
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut socket = ann.connect().await;
    join_all((0..8).map(|_| ann.get("/api/profile/me"))).await;

    // Now there are connections, and the server has forgotten them.
    statements.be_silent();
    let frame = async {
        let began = Instant::now();
        let hello = json!({"roomId": room, "content": "Hello"});
        socket.refused("sendMessage", hello, "database_unavailable").await;
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    };
    tokio::join!(everything_is_unavailable(&app, Some(&ann)), frame);
    statements.speak();
    app.get("/health").await.ok();
    ann.says(room, "Hello").await.created();
}

#[tokio::test]
async fn the_one_connection_of_a_function_is_replaced_when_the_database_falls_silent() {
    let statements = Statements::default();
    let app = TestApp::start().await;
    let db = Db::new(app.database_through(&statements).await, 1);
    let one = async || db.first::<u8>("SELECT 1", ()).await;
    let in_a_transaction = async || db.transaction((), nothing).await;
    for round in 0..2 {
        assert_eq!(one().await.unwrap(), Some(1));
        statements.be_silent();
        let began = Instant::now();
        let refused = match round {
            0 => one().await.map(drop),
            _ => in_a_transaction().await,
        };
        assert!(matches!(refused, Err(Error::DatabaseUnavailable(_))), "{refused:?}");
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        // The server is still silent, to a new connection now.
        assert!(matches!(one().await, Err(Error::DatabaseUnavailable(_))));
        assert!(began.elapsed() < PATIENCE * 2, "{:?}", began.elapsed());
        statements.speak();
        assert_eq!(one().await.unwrap(), Some(1));
        in_a_transaction().await.unwrap();
    }
}

async fn nothing(_: &mut Transaction, (): ()) -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn a_database_error_gives_500_without_the_databases_message() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    app.run("DROP TABLE room_members", ()).await;
    let problem =
        ann.post("/api/chatrooms", json!({"password": "open sesame"})).await.refused(500, "internal");
    assert!(problem["requestId"].is_string());
    assert!(!problem.to_string().contains("room_members"), "{problem}");
}

/// Errors of the server that say something about its state, and nothing about the statement: the same request may
/// succeed later. `(code, SQLSTATE, how often a statement that gets it is tried)`.
const UNAVAILABLE: [(u16, &str, usize); 25] = [
    // Locks, and a table that changed under a transaction: tried four times.
    (1205, "HY000", 4),
    (1213, "40001", 4),
    (1020, "HY000", 4),
    (1412, "HY000", 4),
    (1615, "HY000", 4),
    // Interrupted, by a person or by a time limit of the server.
    (1317, "70100", 1),
    (1969, "70100", 1),
    (3024, "HY000", 1),
    // No room: disk, memory, threads, locks, and a storage engine that says so.
    (1021, "HY000", 1),
    (1030, "HY000", 1),
    (1037, "HY001", 1),
    (1041, "HY000", 1),
    (1114, "HY000", 1),
    (1135, "HY000", 1),
    (1180, "HY000", 1),
    (1206, "HY000", 1),
    (1226, "42000", 1),
    // Starting, stopping, offline, losing its connections.
    (1047, "08S01", 1),
    (1053, "08S01", 1),
    (1927, "70100", 1),
    (3032, "HY000", 1),
    (3168, "HY000", 1),
    // Connections, accounts.
    (1040, "08004", 1),
    (1045, "28000", 1),
    (1049, "42000", 1),
];

/// Errors that a repeated statement meets again: wrong statements, wrong data, missing rights and tables, and a
/// packet that is too large.
const OUR_FAULT: [(u16, &str); 10] = [
    (1054, "42S22"),
    (1062, "23000"),
    (1064, "42000"),
    (1142, "42000"),
    (1146, "42S02"),
    (1153, "08S01"),
    (1264, "22003"),
    (1406, "22001"),
    (1452, "23000"),
    (3819, "HY000"),
];

/// How a batch of messages begins, how they are stored, and how it ends.
const PARTS_OF_SEND: [&str; 3] = [
    "START TRANSACTION; SELECT STRAIGHT_JOIN 0 AS place",
    "INSERT INTO messages",
    "UPDATE rooms FORCE INDEX",
];

#[tokio::test]
async fn an_error_of_the_server_that_may_pass_is_503_and_one_that_will_not_is_500() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    ann.says(room, "hello").await.created();
    let path = format!("/api/messages/{room}-1");
    let edit = async |content: &str| ann.patch(&path, json!({"content": content})).await;
    for (code, state, tries) in UNAVAILABLE {
        // A transaction, a batch of messages, and a statement by itself.
        statements.fail("UPDATE rooms", tries, (code, state));
        let refused = edit("hello again").await;
        assert_eq!(statements.left_to_fail(), 0, "{code}");
        refused.refused(503, "database_unavailable");
        // A message that met a conflict is tried by itself four times more.
        let tries_of_send = match (code, tries) {
            (1213, _) => 3 + 4,
            (_, 4) => 1 + 4,
            _ => 1,
        };
        for part in PARTS_OF_SEND {
            statements.fail(part, tries_of_send, (code, state));
            let refused = ann.says(room, "more").await;
            assert_eq!(statements.left_to_fail(), 0, "{code} {part}");
            refused.refused(503, "database_unavailable");
        }
        statements.fail("SELECT id, from_id", tries, (code, state));
        ann.delete("/api/friends/bob").await.refused(503, "database_unavailable");
        assert_eq!(statements.left_to_fail(), 0, "{code}");
    }
    for error in OUR_FAULT {
        statements.fail("UPDATE rooms", 1, error);
        edit("hello again").await.refused(500, "internal");
        for part in PARTS_OF_SEND {
            statements.fail(part, 1, error);
            ann.says(room, "more").await.refused(500, "internal");
        }
        statements.fail("SELECT id, from_id", 1, error);
        ann.delete("/api/friends/bob").await.refused(500, "internal");
    }
    statements.fail("UPDATE rooms", 4, (1205, "HY000"));
    assert_eq!(edit("hello again").await.headers["retry-after"], "2");
    assert_eq!(ann.reads(room).await, [(1, "hello".to_owned())]);
    // A lock that is granted at the last try.
    statements.fail("UPDATE rooms", 3, (1205, "HY000"));
    edit("hello again").await.ok();
    statements.fail("INSERT INTO messages", 4, (1205, "HY000"));
    ann.says(room, "more").await.created();
    assert_eq!(ann.reads(room).await.len(), 2);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_statement_that_somebody_interrupts_is_503_and_does_nothing() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    ann.says(room, "hello").await.created();
    let mut holder = app.holding(&format!("SELECT 1 FROM rooms WHERE id = {room} FOR UPDATE")).await;
    let interrupting = async {
        app.until_waiting("updated_at FROM rooms WHERE").await;
        app.interrupt("updated_at FROM rooms WHERE").await;
    };
    let path = format!("/api/messages/{room}-1");
    let edit = ann.patch(&path, json!({"content": "hello again"}));
    let (refused, ()) = tokio::join!(edit, interrupting);
    refused.refused(503, "database_unavailable");
    holder.query_drop("COMMIT").await.unwrap();
    assert_eq!(ann.reads(room).await, [(1, "hello".to_owned())]);
}

#[tokio::test]
async fn an_unknown_route_or_method_gets_the_gateways_404() {
    let app = TestApp::start().await;
    for path in ["/", "/nowhere", "/api/profile", "/api/profile/ann/more", "/api/joinroom", "/health/"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.json), (404, json!({"message": "Not Found"})), "{path}");
    }
}

#[tokio::test]
async fn a_body_of_more_than_6_mb_is_refused_by_the_gateway() {
    let app = TestApp::start().await;
    let request = app.http.post(format!("{}/api/auth/login", app.url)).body("x".repeat(6 * 1024 * 1024 + 1));
    let answer = Answer::of(request, "POST", "/api/auth/login", None).await;
    assert_eq!((answer.status, answer.json), (413, json!({"message": "Request Entity Too Large"})));
}
