use futures_util::future::join_all;
use image::{GenericImageView, ImageFormat};
use reqwest::Response;
use serde_json::{Value, json};

use super::{Form, PDF, of_size, picture, sweep};
use crate::harness::{Answer, Person, TestApp};

impl Person {
    async fn sets_avatar_of(&self, room: u64, bytes: &[u8]) -> Answer {
        let form = Form::new().file("; filename=\"us\"", bytes);
        self.sends_form("PUT", &format!("/api/rooms/{room}/avatar"), form).await
    }
}

/// Asks for an avatar without a token.
async fn get(app: &TestApp, avatar_url: &Value) -> Response {
    app.http.get(format!("{}{}", app.url, avatar_url.as_str().unwrap())).send().await.unwrap()
}

#[tokio::test]
async fn an_avatar_is_a_square_that_anybody_with_its_key_sees_and_each_change_makes_a_new_key() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let set = ann.sets_avatar(&picture(600, 200, ImageFormat::Jpeg)).await.ok();
    assert_eq!(set, ann.get("/api/profile/me").await.ok());
    let first = set["avatarUrl"].clone();
    assert_eq!(bob.get(&format!("/api/profile/{}", ann.user_id)).await.ok()["avatarUrl"], first);
    let seen = get(&app, &first).await;
    assert_eq!(seen.status(), 200);
    for (header, value) in [
        ("content-type", "image/jpeg"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(seen.headers()[header], value);
    }
    let image = image::load_from_memory(&seen.bytes().await.unwrap()).unwrap();
    assert_eq!(image.dimensions(), (256, 256));

    let mut socket = ann.connect().await;
    let second = ann.sets_avatar(&picture(30, 30, ImageFormat::WebP)).await.ok()["avatarUrl"].take();
    assert_ne!(first, second);
    assert_eq!(socket.receives("userUpdated").await["user"]["avatarUrl"], second);
    assert_eq!(
        (get(&app, &first).await.status(), get(&app, &second).await.status()),
        (404.try_into().unwrap(), 200.try_into().unwrap())
    );
    ann.delete("/api/profile/avatar").await.no_content();
    assert_eq!(socket.receives("userUpdated").await["user"]["avatarUrl"], json!(null));
    ann.delete("/api/profile/avatar").await.no_content();
    socket.has_nothing().await;
    assert_eq!(ann.get("/api/profile/me").await.ok()["avatarUrl"], json!(null));
    app.get(second.as_str().unwrap()).await.refused(404, "avatar_not_found");
    app.get("/avatars/..%2Ffiles").await.refused(404, "avatar_not_found");
    assert_eq!((app.stored().len(), app.rows::<u64>("SELECT COUNT(*) FROM unused_avatars").await[0]), (0, 0));
}

#[tokio::test]
async fn what_is_no_image_of_at_most_2_mib_makes_no_avatar() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let png = picture(40, 30, ImageFormat::Png);
    for bytes in [PDF, &picture(40, 30, ImageFormat::Gif), &png[..60]] {
        ann.sets_avatar(bytes).await.refused(415, "unsupported_media_type");
    }
    let said = Form::new().file("; filename=\"x\"\r\nContent-Type: image/jpeg", &png);
    ann.sends_form("PUT", "/api/profile/avatar", said).await.refused(415, "unsupported_media_type");
    let large = of_size(&png, 2 * 1024 * 1024 + 1);
    ann.sets_avatar(&large).await.refused(413, "payload_too_large");
    assert_eq!(ann.sends_form("PUT", "/api/profile/avatar", Form::new()).await.wrong_fields(), ["file"]);
    assert_eq!(app.stored(), Vec::<String>::new());
    ann.sets_avatar(&large[..2 * 1024 * 1024]).await.ok();
}

#[tokio::test]
async fn the_owner_and_the_moderators_change_the_avatar_of_a_room() {
    let app = TestApp::start().await;
    let (ann, bob, cat) =
        (app.of("tea", "ann").await, app.of("tea", "bob").await, app.of("tea", "cat").await);
    let group = ann.groups(&[&bob, &cat]).await;
    let png = picture(30, 30, ImageFormat::Png);
    bob.sets_avatar_of(group, &png).await.refused(403, "room_role_required");
    ann.appoints(group, &bob, "moderator").await.ok();
    let mut cats = cat.connect().await;
    let room = bob.sets_avatar_of(group, &png).await.ok()["room"].take();
    let told = cats.receives("roomUpdated").await;
    assert_eq!((&told["room"], &told["seq"]), (&room, &json!(1)));
    assert_eq!(get(&app, &room["avatarUrl"]).await.status(), 200);
    assert_eq!(cat.get("/chats").await.ok()["data"][0]["room"]["avatarUrl"], room["avatarUrl"]);
    cat.delete(&format!("/api/rooms/{group}/avatar")).await.refused(403, "room_role_required");
    ann.delete(&format!("/api/rooms/{group}/avatar")).await.no_content();
    assert_eq!(cats.receives("roomUpdated").await["room"]["avatarUrl"], json!(null));
    ann.delete(&format!("/api/rooms/{group}/avatar")).await.no_content();
    cats.has_nothing().await;
    assert_eq!(cat.get("/chats").await.ok()["data"][0]["room"]["avatarUrl"], json!(null));

    let chat = ann.chats_with(&bob).await;
    ann.sets_avatar_of(chat, &png).await.refused(409, "direct_chat");
    // Of a channel it is the admins and moderators of the organization, members or not.
    app.set_role(&ann, "admin").await;
    let channel = ann.makes_a_channel("General").await;
    bob.sets_avatar_of(channel, &png).await.refused(403, "role_required");
    bob.joins(channel).await.created();
    bob.sets_avatar_of(channel, &png).await.refused(403, "role_required");
    app.set_role(&cat, "moderator").await;
    cat.sets_avatar_of(channel, &png).await.ok();
}

#[tokio::test]
async fn of_four_avatars_that_are_set_at_once_one_stays() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let png = picture(30, 30, ImageFormat::Png);
    join_all((0..4).map(|_| ann.sets_avatar(&png))).await.into_iter().for_each(|answer| _ = answer.ok());
    let avatar = ann.get("/api/profile/me").await.ok()["avatarUrl"].take();
    assert_eq!(get(&app, &avatar).await.status(), 200);
    assert_eq!(app.stored().len(), 1);
}

#[tokio::test]
async fn the_sweep_erases_avatars_that_nobody_has() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let png = picture(30, 30, ImageFormat::Png);
    ann.sets_avatar_of(room, &png).await.ok();
    let own = ann.sets_avatar(&png).await.ok()["avatarUrl"].take();
    // What a request leaves that ends before the avatar is anybody's.
    let lost = "x".repeat(43);
    app.run("INSERT INTO unused_avatars (avatar_key, since) VALUES (?, UTC_TIMESTAMP(3))", (&lost,)).await;
    app.files.put(&format!("avatars/{lost}"), "image/png", png.into()).await.unwrap();
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    assert_eq!(sweep(&app).await["avatars"], 0, "a request may be about to use them");
    app.run("UPDATE unused_avatars SET since = since - INTERVAL 61 MINUTE", ()).await;
    assert_eq!(sweep(&app).await["avatars"], 2);
    assert_eq!(app.stored().len(), 1);
    assert_eq!(get(&app, &own).await.status(), 200);
}
