use serde_json::json;

use super::PNG;
use crate::harness::TestApp;

#[tokio::test]
async fn a_member_is_redirected_to_a_signed_url_that_is_valid_for_five_minutes() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let sent = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    let answer = ann.get(sent["upload"]["url"].as_str().unwrap()).await;
    assert_eq!((answer.status, &answer.headers["cache-control"]), (302, &"no-store".parse().unwrap()));
    let url = answer.headers["location"].to_str().unwrap();
    assert!(url.contains("X-Amz-Expires=300&"), "{url}");
    // The URL works without a token, and not if it is changed.
    let file = app.http.get(url).send().await.unwrap();
    assert_eq!(file.status(), 200);
    assert_eq!(file.bytes().await.unwrap(), PNG);
    let lies = url.replace("image%2Fpng", "text%2Fhtml");
    assert_ne!(lies, url);
    assert_eq!(app.http.get(lies).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn only_members_can_download_a_file() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let (eve, zoe) = (app.prime("eve").await, app.foreigner("zoe").await);
    let room = ann.opens_a_room().await;
    let sent = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    let url = sent["upload"]["url"].as_str().unwrap();
    eve.get(url).await.refused(403, "not_a_member");
    zoe.get(url).await.refused(404, "upload_not_found");
    app.get(url).await.refused(401, "unauthenticated");
    ann.get("/uploads/AAAAAAAAAAAAAAAAAAAAAA").await.refused(404, "upload_not_found");
    assert_eq!(ann.get("/uploads/a%20b").await.wrong_fields(), ["uploadId"]);
    // A user who joins can download all files; one who leaves cannot download any.
    bob.joins(room).await.created();
    assert_eq!(bob.downloads(sent["upload"]["uploadId"].as_str().unwrap()).await, PNG);
    bob.leaves(room).await.no_content();
    bob.get(url).await.refused(403, "not_a_member");
}

#[tokio::test]
async fn the_file_of_a_deleted_message_is_404_and_the_message_has_no_attachment() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let sent = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    ann.delete(&format!("/api/messages/{room}-1")).await.ok();
    ann.get(sent["upload"]["url"].as_str().unwrap()).await.refused(404, "upload_not_found");
    let history = ann.get(&format!("/chats/{room}")).await.ok();
    assert_eq!(history["messages"][0]["attachment"], json!(null));
}
