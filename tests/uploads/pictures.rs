use image::{GenericImageView, ImageFormat};
use serde_json::json;

use super::{PNG, age_uploads, picture, sweep};
use crate::harness::TestApp;

#[tokio::test]
async fn an_image_has_its_size_and_a_thumbnail_which_goes_with_its_message() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let mut bobs = bob.connect().await;
    let bytes = picture(960, 300, ImageFormat::Png);
    let formed = ann.sends_file(room, "x.png", "image/png", &bytes).await.created();
    let presigned = ann.posts_file(&app, room, "image/png", &bytes).await;
    for sent in [formed, ann.completes(&presigned).await.created()] {
        let attachment = &sent["message"]["attachment"];
        assert_eq!((&attachment["width"], &attachment["height"]), (&json!(960), &json!(300)));
        let path = attachment["thumbnailUrl"].as_str().unwrap();
        assert_eq!(path, format!("{}?as=thumbnail", attachment["url"].as_str().unwrap()));
        assert_eq!(bobs.receives("receiveFile").await["message"]["attachment"], *attachment);
        let seq = sent["message"]["seq"].as_u64().unwrap();
        let history = bob.get(&format!("/chats/{room}?after={}&limit=1", seq - 1)).await.ok();
        assert_eq!(history["messages"][0]["attachment"], *attachment);

        let urls = bob.get(&path.replace("thumbnail", "json")).await.ok();
        let answer = bob.get(path).await;
        assert_eq!(
            (answer.status, answer.headers["location"].to_str().ok()),
            (302, urls["thumbnailUrl"].as_str())
        );
        let thumbnail = app.http.get(urls["thumbnailUrl"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
        let thumbnail = image::load_from_memory(&thumbnail.bytes().await.unwrap()).unwrap();
        assert_eq!(thumbnail.dimensions(), (480, 150));
        assert_eq!(bob.downloads(attachment["uploadId"].as_str().unwrap()).await, bytes);
    }
    // Both objects of a file stay as long as its message.
    age_uploads(&app).await;
    sweep(&app).await;
    assert_eq!(app.stored().len(), 4);
    for seq in [2, 3] {
        ann.delete(&format!("/api/messages/{room}-{seq}")).await.ok();
    }
    assert_eq!(sweep(&app).await["uploads"], 2);
    assert_eq!(app.stored(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_cannot_be_decoded_is_a_file_like_any_other() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let whole = picture(40, 30, ImageFormat::Png);
    for (bytes, width) in [(PNG, json!(null)), (&whole[..60], json!(40))] {
        let sent = ann.sends_file(room, "x.png", "image/png", bytes).await.created();
        assert_eq!((&sent["upload"]["width"], &sent["upload"]["thumbnailUrl"]), (&width, &json!(null)));
        let url = sent["upload"]["url"].as_str().unwrap();
        ann.get(&format!("{url}?as=thumbnail")).await.refused(404, "upload_not_found");
        assert_eq!(ann.get(&format!("{url}?as=json")).await.ok()["thumbnailUrl"], json!(null));
    }
}
