//! The types of files: the setting `UPLOAD_TYPES`.

use image::ImageFormat;
use serde_json::json;

use super::{PNG, picture};
use crate::harness::TestApp;

const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\x64 sound";
const MP4: &[u8] = b"\0\0\0\x14ftypisom\0\0\x02\0isom\0\0\0\x08mdat";

#[tokio::test]
async fn webp_and_gif_images_are_accepted_and_sounds_and_videos_are_not() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (format, media_type, extension) in
        [(ImageFormat::WebP, "image/webp", "webp"), (ImageFormat::Gif, "image/gif", "gif")]
    {
        let bytes = picture(20, 10, format);
        let upload = ann.sends_file(room, "x", media_type, &bytes).await.created()["upload"].take();
        let seen = (&upload["type"], &upload["fileName"], &upload["width"]);
        assert_eq!(seen, (&json!(media_type), &json!(format!("x.{extension}")), &json!(20)));
        assert!(upload["thumbnailUrl"].is_string(), "{upload}");
    }
    ann.sends_file(room, "x", "audio/mpeg", MP3).await.refused(415, "unsupported_media_type");
    ann.presigns(room, "video/mp4", 9).await.refused(415, "unsupported_media_type");
}

#[tokio::test]
async fn the_setting_decides_which_types_are_accepted() {
    let app =
        TestApp::with(&[("UPLOAD_TYPES", "audio/mpeg, audio/mp4,audio/ogg,video/mp4,video/webm")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let webm: &[u8] = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm video";
    for (said, bytes, media_type, extension) in [
        ("audio/mp3", MP3, "audio/mpeg", "mp3"),
        ("video/mp4", MP4, "video/mp4", "mp4"),
        // Many recorders of sound write the brands of video.
        ("audio/x-m4a", MP4, "audio/mp4", "m4a"),
        ("audio/mp4", b"\0\0\0\x14ftypM4A \0\0\x02\0isom", "audio/mp4", "m4a"),
        ("application/ogg", b"OggS\0\x02 sound", "audio/ogg", "ogg"),
        ("audio/webm;codecs=opus", webm, "video/webm", "webm"),
    ] {
        let presigned = ann.posts_file(&app, room, said, bytes).await;
        for sent in [ann.sends_file(room, "x", said, bytes).await, ann.completes(&presigned).await] {
            let upload = sent.created()["upload"].take();
            assert_eq!(
                (&upload["type"], &upload["thumbnailUrl"]),
                (&json!(media_type), &json!(null)),
                "{said}"
            );
            assert!(upload["fileName"].as_str().unwrap().ends_with(extension), "{upload}");
        }
    }
    ann.sends_file(room, "x", "image/png", PNG).await.refused(415, "unsupported_media_type");
    ann.sends_file(room, "x", "video/mp4", MP3).await.refused(415, "unsupported_media_type");
}
