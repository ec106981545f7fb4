use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::PNG;
use crate::harness::{Person, TestApp};

#[tokio::test]
async fn everybody_gets_the_same_url_for_an_hour_which_needs_no_token_and_which_a_browser_may_keep() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let sent = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    let (path, upload_id) = (sent["upload"]["url"].as_str().unwrap(), &sent["upload"]["uploadId"]);
    let urls = ann.get(&format!("{path}?as=json")).await.ok();
    let url = urls["url"].as_str().unwrap().to_owned();
    let expires: DateTime<Utc> = urls["expiresAt"].as_str().unwrap().parse().unwrap();
    let left = expires - Utc::now();
    assert!(left > TimeDelta::minutes(64) && left <= TimeDelta::minutes(65), "{left}");
    assert!(url.contains("X-Amz-Expires=3900&"), "{url}");

    let answer = bob.get(path).await;
    assert_eq!((answer.status, &answer.headers["cache-control"]), (302, &"no-store".parse().unwrap()));
    assert_eq!(answer.headers["location"], url);
    let asked = json!({"uploadIds": [upload_id, upload_id]});
    assert_eq!(bob.post("/api/uploads/urls", asked).await.ok(), json!({"uploads": [urls]}));

    let file = app.http.get(&url).send().await.unwrap();
    assert_eq!(
        (file.status(), &file.headers()["cache-control"]),
        (200.try_into().unwrap(), &"private, max-age=3600, immutable".parse().unwrap())
    );
    assert_eq!(file.bytes().await.unwrap(), PNG);
    let lies = url.replace("image%2Fpng", "text%2Fhtml");
    assert_ne!(lies, url);
    assert_eq!(app.http.get(lies).send().await.unwrap().status(), 403);

    // With less than five minutes left there is a new one.
    let end = "UPDATE uploads SET url = 'http://old', url_expires_at = UTC_TIMESTAMP(3) + INTERVAL ? SECOND WHERE upload_id = ?";
    app.run(end, (310, upload_id.as_str().unwrap())).await;
    assert_eq!(bob.get(path).await.headers["location"], "http://old");
    app.run(end, (299, upload_id.as_str().unwrap())).await;
    assert_eq!(
        app.http.get(bob.way_to(upload_id.as_str().unwrap()).await).send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn the_urls_of_files_that_somebody_may_not_have_are_left_out() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let (room, other) = (ann.opens_a_room().await, ann.opens_a_room().await);
    bob.joins(room).await.created();
    let mut files = Vec::new();
    for room in [room, other, room, room] {
        let sent = ann.sends_file(room, "x.png", "image/png", PNG).await.created();
        files.push(sent["upload"]["uploadId"].as_str().unwrap().to_owned());
    }
    ann.delete(&format!("/api/messages/{room}-3")).await.ok();
    let asked: Vec<_> = files.iter().rev().cloned().chain(["AAAAAAAAAAAAAAAAAAAAAA".to_owned()]).collect();
    let of = async |person: &Person| {
        let urls = person.post("/api/uploads/urls", json!({"uploadIds": asked})).await.ok();
        let urls = urls["uploads"].as_array().unwrap().iter();
        urls.map(|urls| urls["uploadId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of(&ann).await, [&*files[3], &*files[1], &*files[0]]);
    assert_eq!(of(&bob).await, [&*files[3], &*files[0]]);
    assert_eq!(of(&zoe).await, [""; 0]);
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
