use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Person, TestApp};

async fn ticket(person: &Person) -> String {
    let answer = person.post("/api/ws-ticket", json!({})).await.created();
    assert_eq!(answer["expiresIn"], 60);
    answer["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_opens_one_socket_for_its_user() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let ticket = ticket(&ann).await;
    let Ok(mut socket) = app.connect(&format!("?ticket={ticket}")).await else {
        panic!("the ticket opens no socket")
    };
    let ack = socket.acked("sendMessage", json!({"roomId": room, "content": "it is me"})).await;
    assert_eq!(ack["message"]["userId"], ann.user_id);
    let Err((status, _)) = app.connect(&format!("?ticket={ticket}")).await else {
        panic!("the ticket opened another socket")
    };
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_ticket_used_eight_times_concurrently_opens_one_socket() {
    let app = TestApp::start().await;
    let query = format!("?ticket={}", ticket(&app.user("ann").await).await);
    let sockets = join_all((0..8).map(|_| app.connect(&query))).await;
    let refusals: Vec<u16> =
        sockets.iter().filter_map(|socket| socket.as_ref().err()).map(|refusal| refusal.0).collect();
    assert_eq!(refusals, [401; 7]);
}

#[tokio::test]
async fn a_ticket_is_invalid_after_a_minute_or_after_its_session() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let (late, orphan) = (ticket(&ann).await, ticket(&bob).await);
    app.run(
        "UPDATE tickets SET expires_at = expires_at - INTERVAL 61 SECOND
         WHERE session_id IN (SELECT session_id FROM sessions WHERE user_id = ?)",
        (&ann.user_id,),
    )
    .await;
    bob.post("/api/auth/logout", json!({})).await.no_content();
    for ticket in [late, orphan, "x".to_owned(), String::new()] {
        let Err((status, _)) = app.connect(&format!("?ticket={ticket}")).await else {
            panic!("{ticket:?} opened a socket")
        };
        assert_eq!(status, 401);
    }
}

#[tokio::test]
async fn tickets_are_stored_as_hashes_only() {
    let app = TestApp::start().await;
    let ticket = ticket(&app.user("ann").await).await;
    let stored: Vec<Vec<u8>> = app.rows("SELECT ticket_hash FROM tickets").await;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, ticket.as_bytes());
    assert_eq!(stored, [hash.as_ref()]);
}

#[tokio::test]
async fn a_ticket_requires_a_session() {
    let app = TestApp::start().await;
    app.post("/api/ws-ticket", json!({})).await.refused(401, "unauthenticated");
}
