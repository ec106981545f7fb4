use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use chrono::{Duration, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::config::Config;

use super::{FILES, JPEG, PDF, PNG, counts, of_size, post_to_store, refused_files, sweep};
use crate::harness::{Statements, TestApp};

const MOST: usize = 25 * 1024 * 1024;

#[tokio::test]
async fn a_file_of_each_type_is_posted_completed_pushed_and_downloaded_byte_for_byte() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    for (media_type, extension, beginning) in FILES {
        let bytes = of_size(beginning, 200_000);
        let file = json!({
            "chatId": room, "fileName": format!("../x/garden.{extension}"), "type": media_type,
            "size": bytes.len(), "caption": "The garden"
        });
        let presigned = ann.post("/uploads/presign", file).await.created();
        // Before it is completed, the file is neither sent nor available.
        ann.get(&format!("/uploads/{}", presigned["uploadId"].as_str().unwrap()))
            .await
            .refused(404, "upload_not_found");
        ann.completes(&presigned).await.refused(404, "upload_not_found");
        assert_eq!(post_to_store(&app, &presigned, &bytes).await, 204);
        bobs.has_nothing().await;
        let sent = ann.completes(&presigned).await.created();
        let (upload, message) = (&sent["upload"], &sent["message"]);
        let upload_id = presigned["uploadId"].as_str().unwrap();
        let expected = json!({
            "uploadId": upload_id, "fileName": format!("garden.{extension}"), "type": media_type,
            "size": bytes.len(), "url": format!("/uploads/{upload_id}"),
            "width": null, "height": null, "thumbnailUrl": null, "sender": ann.user_id
        });
        assert_eq!(upload, &expected);
        assert_eq!((&message["kind"], &message["content"]), (&json!("file"), &json!("The garden")));
        let pushed = bobs.receives("receiveFile").await;
        assert_eq!(pushed, json!({"roomId": room, "seq": message["seq"], "message": message}));
        assert!(bob.downloads(upload_id).await == bytes);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_file_of_25_mib_can_be_posted_and_a_larger_one_is_413() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    ann.presigns(room, "image/png", MOST + 1).await.refused(413, "payload_too_large");
    let bytes = of_size(PNG, MOST);
    let presigned = ann.posts_file(&app, room, "image/png", &bytes).await;
    ann.completes(&presigned).await.created();
    assert!(ann.downloads(presigned["uploadId"].as_str().unwrap()).await == bytes);
}

#[tokio::test]
async fn all_invalid_fields_of_a_presigned_upload_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let wrong = ann.post("/uploads/presign", json!({"size": 0, "caption": 7})).await.wrong_fields();
    assert_eq!(wrong, ["caption", "fileName", "roomId", "size", "type"]);
    let room = ann.opens_a_room().await;
    ann.presigns(room, "text/html", 9).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_policy_refuses_any_other_key_type_or_size_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let presigned = ann.presigns(room, "image/png", PNG.len()).await.created();
    let other = ann.presigns(room, "image/png", PNG.len()).await.created();
    let with = |field: &str, value: Value| {
        let mut changed = presigned.clone();
        changed["fields"][field] = value;
        changed
    };
    for (what, presigned) in [
        ("another key", with("key", other["fields"]["key"].clone())),
        ("a key where checked files are", with("key", json!("files/x/y"))),
        ("another type", with("Content-Type", json!("text/html"))),
        ("a field that it does not name", with("acl", json!("public-read"))),
        ("another policy", with("policy", other["fields"]["policy"].clone())),
        ("another signature", with("x-amz-signature", json!("0".repeat(64)))),
    ] {
        let status = post_to_store(&app, &presigned, PNG).await;
        assert!((400..500).contains(&status), "{what}: {status}");
    }
    for size in [0, PNG.len() - 1, PNG.len() + 1] {
        let status = post_to_store(&app, &presigned, &of_size(PNG, size)).await;
        assert_eq!(status, 400, "{size} bytes");
    }
    assert_eq!(app.stored(), Vec::<String>::new());
    ann.completes(&presigned).await.refused(404, "upload_not_found");
    // Unchanged, it is valid.
    assert_eq!(post_to_store(&app, &presigned, PNG).await, 204);
}

#[tokio::test]
async fn a_policy_is_valid_for_fifteen_minutes() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let presigned = ann.presigns(room, "image/png", PNG.len()).await.created();
    let expires: chrono::DateTime<Utc> = presigned["expiresAt"].as_str().unwrap().parse().unwrap();
    let left = expires - Utc::now();
    assert!(left > Duration::minutes(14) && left <= Duration::minutes(15), "{left}");

    // The same policy, but one that expired a minute ago.
    let key = presigned["fields"]["key"].as_str().unwrap();
    let ended = Utc::now().naive_utc() - Duration::minutes(1);
    let late = app.files.form(key, "image/png", PNG.len() as u64, ended).await.unwrap();
    assert_eq!(post_to_store(&app, &serde_json::to_value(late).unwrap(), PNG).await, 403);
    assert_eq!(app.stored(), Vec::<String>::new());
    let soon = Utc::now().naive_utc() + Duration::minutes(1);
    let good = app.files.form(key, "image/png", PNG.len() as u64, soon).await.unwrap();
    assert_eq!(post_to_store(&app, &serde_json::to_value(good).unwrap(), PNG).await, 204);
}

#[tokio::test]
async fn a_posted_file_that_does_not_match_its_type_is_415_and_nothing_is_kept() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let lies = [("a JPEG as a PNG", JPEG.to_vec()), ("a PDF as a PNG", PDF.to_vec())];
    for (what, bytes) in refused_files().into_iter().chain(lies) {
        let presigned = ann.posts_file(&app, room, "image/png", &bytes).await;
        let answer = ann.completes(&presigned).await;
        assert_eq!(answer.status, 415, "{what}");
        answer.refused(415, "unsupported_media_type");
        ann.completes(&presigned).await.refused(404, "upload_not_found");
        assert_eq!(app.stored().len(), 1, "only the posted file, no copy of it: {what}");
        sweep(&app).await;
        assert_eq!((counts(&app).await, app.stored().len()), ((0, 0), 0), "{what}");
    }
    assert_eq!(ann.reads(room).await.len(), 0);
}

#[tokio::test]
async fn a_stored_file_that_does_not_match_its_size_is_415() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for size in [PNG.len() - 1, PNG.len() + 1] {
        let presigned = ann.presigns(room, "image/png", PNG.len()).await.created();
        // Not through the policy, which would refuse it.
        let key = presigned["fields"]["key"].as_str().unwrap();
        app.files.put(key, "image/png", of_size(PNG, size).into()).await.unwrap();
        ann.completes(&presigned).await.refused(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn a_posted_file_is_sent_even_if_the_store_does_not_delete() {
    let app = TestApp::adjusted(hang_deletions).await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    let presigned = ann.posts_file(&app, room, "image/png", PNG).await;
    let began = Instant::now();
    let sent = ann.completes(&presigned).await.created();
    assert_eq!(bobs.receives("receiveFile").await["message"], sent["message"]);
    assert!(began.elapsed().as_secs() < 5, "the response does not wait for the store");
}

/// Puts a proxy before the server's store that never responds to a DELETE.
fn hang_deletions(config: &mut Config) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let store = config.store.endpoint.replace(address).unwrap();
    let client = reqwest::Client::new();
    let forward = move |request: Request| {
        let (store, client) = (store.clone(), client.clone());
        async move {
            let (parts, body) = request.into_parts();
            if parts.method == Method::DELETE {
                std::future::pending::<()>().await;
            }
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            // The headers contain the Host that was signed.
            let forwarded = client.request(parts.method, format!("{store}{}", parts.uri));
            let answer = forwarded.headers(parts.headers).body(body).send().await.unwrap();
            axum::http::Response::from(answer).map(axum::body::Body::new)
        }
    };
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(forward)).await });
}

#[tokio::test]
async fn a_lost_response_to_the_insert_of_an_upload_does_no_harm() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    statements.lose_the_response_to("INSERT INTO uploads");
    let presigned = ann.posts_file(&app, room, "image/png", PNG).await;
    assert!(statements.has_lost());
    ann.completes(&presigned).await.created();
    assert_eq!(counts(&app).await, (1, 1));
}

#[tokio::test]
async fn a_retried_complete_sends_one_message() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let presigned = ann.posts_file(&app, room, "image/png", PNG).await;
    let first = ann.completes(&presigned).await.created();
    let mut bobs = bob.connect().await;
    assert_eq!(ann.completes(&presigned).await.ok(), first);
    let mut socket = ann.connect().await;
    let ack = socket.acked("sendFile", json!({"uploadId": presigned["uploadId"]})).await;
    assert_eq!((&ack["message"], &ack["upload"]), (&first["message"], &first["upload"]));
    bobs.has_nothing().await;
    assert_eq!((counts(&app).await, app.stored().len()), ((1, 1), 2), "the file and the posted object");
}

#[tokio::test]
async fn a_file_is_sent_even_if_the_response_to_its_commit_is_lost() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let bytes = of_size(PNG, 3000);
    let presigned = ann.posts_file(&app, room, "image/png", &bytes).await;
    statements.lose_the_response_to("COMMIT");
    ann.completes(&presigned).await.refused(503, "database_unavailable");
    assert!(statements.has_lost());
    ann.completes(&presigned).await.ok();
    assert!(ann.downloads(presigned["uploadId"].as_str().unwrap()).await == bytes);
    assert_eq!(counts(&app).await, (1, 1));
}

#[tokio::test]
async fn eight_concurrent_completes_send_one_message() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    let presigned = ann.posts_file(&app, room, "image/png", &of_size(PNG, 50_000)).await;
    let answers = join_all((0..8).map(|_| ann.completes(&presigned))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 201).count(), 1, "{statuses:?}");
    assert!(answers.iter().all(|answer| answer.json == answers[0].json), "{statuses:?}");
    bobs.receives("receiveFile").await;
    bobs.has_nothing().await;
    assert_eq!((counts(&app).await, app.stored().len()), ((1, 1), 2), "the file and the posted object");
    assert!(ann.downloads(presigned["uploadId"].as_str().unwrap()).await == of_size(PNG, 50_000));
    app.invariants_hold().await;
}

#[tokio::test]
async fn posting_again_after_complete_changes_nothing() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let (first, second) = (of_size(PNG, 3000), [PNG, &[7; 3000]].concat()[..3000].to_vec());
    let presigned = ann.posts_file(&app, room, "image/png", &first).await;
    let sent = ann.completes(&presigned).await.created();
    // The policy is still valid, and completing again still succeeds.
    assert_eq!(post_to_store(&app, &presigned, &second).await, 204);
    assert_eq!(ann.completes(&presigned).await.ok(), sent);
    assert!(ann.downloads(presigned["uploadId"].as_str().unwrap()).await == first);
}

#[tokio::test]
async fn only_the_uploader_can_complete_and_only_as_a_member() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let presigned = bob.posts_file(&app, room, "image/png", PNG).await;
    let frame = json!({"uploadId": presigned["uploadId"]});
    for other in [&ann, &zoe] {
        other.completes(&presigned).await.refused(404, "upload_not_found");
        other.connect().await.refused("sendFile", frame.clone(), "upload_not_found").await;
    }
    bob.leaves(room).await.no_content();
    bob.completes(&presigned).await.refused(403, "not_a_member");
    bob.connect().await.refused("sendFile", frame, "not_a_member").await;
    bob.joins(room).await.created();
    bob.completes(&presigned).await.created();
}

#[tokio::test]
async fn a_file_can_be_sent_by_frame_and_the_sending_socket_gets_the_ack() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let (mut anns, mut other, mut bobs) = (ann.connect().await, ann.connect().await, bob.connect().await);
    let presigned = ann.posts_file(&app, room, "image/jpeg", JPEG).await;
    let ack = anns.acked("sendFile", json!({"uploadId": presigned["uploadId"]})).await;
    assert_eq!((&ack["roomId"], &ack["seq"]), (&json!(room), &json!(2)));
    assert_eq!(ack["upload"]["uploadId"], presigned["uploadId"]);
    for socket in [&mut other, &mut bobs] {
        let pushed = socket.receives("receiveFile").await;
        assert_eq!(pushed, json!({"roomId": room, "seq": 2, "message": ack["message"]}));
    }
    anns.has_nothing().await;
    anns.refused("sendFile", json!({}), "invalid_request").await;
    anns.refused("sendFile", json!({"uploadId": "no such one"}), "invalid_request").await;
    anns.refused("sendFile", json!({"uploadId": "none"}), "upload_not_found").await;
}

#[tokio::test]
async fn a_presigned_upload_repeated_with_its_client_message_id_is_sent_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let presign = async |id: &str, caption: &str, bytes: &[u8]| {
        let file = json!({"roomId": room, "fileName": "x", "type": "image/png", "size": bytes.len(),
                          "caption": caption, "clientMessageId": id});
        let presigned = ann.post("/uploads/presign", file).await.created();
        assert_eq!(post_to_store(&app, &presigned, bytes).await, 204);
        presigned
    };
    let (first, again) = (presign("c-1", "x", PNG).await, presign("c-1", "x", PNG).await);
    let sent = ann.completes(&first).await.created();
    assert_eq!(sent["message"]["clientMessageId"], "c-1");
    let mut bobs = bob.connect().await;
    for presigned in [&again, &first, &again] {
        assert_eq!(ann.completes(presigned).await.ok(), sent);
    }
    bobs.has_nothing().await;
    for other in [presign("c-1", "y", PNG).await, presign("c-1", "x", &of_size(PNG, 2000)).await] {
        ann.completes(&other).await.refused(409, "client_message_id_reused");
    }
    let text = json!({"roomId": room, "content": "x", "clientMessageId": "c-1"});
    ann.post("/api/messages", text).await.refused(409, "client_message_id_reused");

    // Two that are completed at once.
    let two = [presign("c-2", "x", PNG).await, presign("c-2", "x", PNG).await];
    let answers = join_all(two.iter().map(|presigned| ann.completes(presigned))).await;
    assert_eq!(answers[0].json, answers[1].json);
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(bobs.receives("receiveFile").await["message"]["clientMessageId"], "c-2");
    bobs.has_nothing().await;
    app.invariants_hold().await;
}
