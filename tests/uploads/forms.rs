use futures_util::future::join_all;
use serde_json::json;

use super::{FILES, Form, JPEG, PDF, PNG, counts, honest_files, of_size, refused_files, sweep};
use crate::harness::TestApp;

const MOST: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn a_file_of_each_type_is_returned_pushed_and_in_the_history() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let (mut anns, mut bobs) = (ann.connect().await, bob.connect().await);
    for (index, (media_type, extension, bytes)) in FILES.into_iter().enumerate() {
        let header = format!("; filename=\"garden.{extension}\"\r\nContent-Type: {media_type}");
        let form = Form::new().text("roomId", room).text("caption", "The garden").file(&header, bytes);
        let sent = ann.uploads(form).await.created();
        let (upload, message) = (&sent["upload"], &sent["message"]);
        let upload_id = upload["uploadId"].as_str().unwrap();
        let expected = json!({
            "uploadId": upload_id, "fileName": format!("garden.{extension}"), "type": media_type,
            "size": bytes.len(), "url": format!("/uploads/{upload_id}"),
            "width": null, "height": null, "thumbnailUrl": null, "sender": ann.user_id
        });
        assert_eq!(upload, &expected);
        let seq = 2 + index as u64;
        assert_eq!(
            (&message["kind"], &message["content"], &message["seq"]),
            (&json!("file"), &json!("The garden"), &json!(seq))
        );
        let mut attachment = expected;
        attachment.as_object_mut().unwrap().remove("sender");
        assert_eq!(message["attachment"], attachment);
        for socket in [&mut anns, &mut bobs] {
            let pushed = socket.receives("receiveFile").await;
            assert_eq!(pushed, json!({"roomId": room, "seq": seq, "message": message}));
            socket.has_nothing().await;
        }
        let history = bob.get(&format!("/chats/{room}?after={}", seq - 1)).await.ok();
        assert_eq!(history["messages"], json!([message]));
        let changes = bob.post("/api/sync", json!({"rooms": {room.to_string(): seq - 1}})).await.ok();
        assert_eq!(changes["rooms"][room.to_string()]["messages"], json!([message]));
        assert_eq!(bob.downloads(upload_id).await, bytes);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_field_that_is_repeated_81500_times_is_reported_once() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let part = |name: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n1\r\n");
    let body = part("roomId").repeat(81_500) + &part("caption").repeat(2) + "--b--\r\n";
    let refused = ann.post_body("/uploads", "multipart/form-data; boundary=b", body.into_bytes()).await;
    assert_eq!(refused.wrong_fields(), ["caption", "file", "roomId"]);
    assert_eq!(ann.reads(room).await, []);
}

#[tokio::test]
async fn a_file_needs_no_caption_name_or_type() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let sent = ann.uploads(Form::new().text("chatId", room).file("", PNG)).await.created();
    assert_eq!(
        (&sent["message"]["content"], &sent["upload"]["fileName"], &sent["upload"]["type"]),
        (&json!(""), &json!("file.png"), &json!("image/png"))
    );
    let octets = "; filename=\"scan\"\r\nContent-Type: application/octet-stream";
    let sent = ann.uploads(Form::new().text("groupId", room).file(octets, PDF)).await.created();
    assert_eq!(sent["upload"]["fileName"], "scan.pdf");
}

#[tokio::test]
async fn unknown_and_unnamed_parts_of_a_form_are_ignored() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let form = Form::new().part("", b"\xff").part("; filename=\"x.pdf\"", PDF).text("x", 1).text("x", 2);
    let sent = ann.uploads(form.text("roomId", room).file("", PNG)).await.created();
    assert_eq!((&sent["upload"]["type"], &sent["message"]["content"]), (&json!("image/png"), &json!("")));
}

#[tokio::test]
async fn a_file_of_4_mib_is_downloaded_byte_for_byte() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let bytes = of_size(JPEG, MOST);
    let sent = ann.sends_file(room, "large.jpg", "image/jpeg", &bytes).await.created();
    assert_eq!(sent["upload"]["size"], MOST);
    assert!(ann.downloads(sent["upload"]["uploadId"].as_str().unwrap()).await == bytes);
}

#[tokio::test]
async fn a_file_of_more_than_4_mib_is_413_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let answer = ann.sends_file(room, "large.jpg", "image/jpeg", &of_size(JPEG, MOST + 1)).await;
    answer.refused(413, "payload_too_large");
    assert_eq!((counts(&app).await, app.stored().len()), ((0, 0), 0));
    assert_eq!(ann.reads(room).await.len(), 0);
}

#[tokio::test]
async fn a_file_that_is_not_exactly_a_pdf_jpeg_or_png_is_415_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (what, bytes) in refused_files() {
        let form = Form::new().text("roomId", room).file("; filename=\"x.png\"", &bytes);
        let answer = ann.uploads(form).await;
        assert_eq!(answer.status, 415, "{what}");
        answer.refused(415, "unsupported_media_type");
    }
    // An empty file is not one of the three types either.
    ann.sends_file(room, "x.png", "image/png", b"").await.refused(415, "unsupported_media_type");
    assert_eq!((counts(&app).await, app.stored().len()), ((0, 0), 0));
    assert_eq!(ann.reads(room).await.len(), 0, "a refused request takes no sequence number");
}

#[tokio::test]
async fn a_type_that_does_not_match_the_bytes_is_415() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (media_type, bytes) in
        [("image/png", JPEG), ("image/jpeg", PDF), ("application/pdf", PNG), ("text/html", PNG)]
    {
        ann.sends_file(room, "x", media_type, bytes).await.refused(415, "unsupported_media_type");
    }
    assert_eq!((counts(&app).await, app.stored().len()), ((0, 0), 0));
}

#[tokio::test]
async fn file_names_with_paths_quotes_and_invisible_characters_are_cleaned() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (given, cleaned) in [
        ("../../etc/pass\\\"wd\\\".png", "pass_wd_.png"),
        (r"C:\Users\ann\Grüße 😀.png", "Grüße 😀.png"),
        ("invoice.pdf.exe", "invoice.pdf.exe.png"),
        ("..", "file.png"),
        ("nul.png", "_nul.png"),
        ("a\u{ad}b\u{2060}c .png", "abc.png"),
    ] {
        let sent = ann.sends_file(room, given, "image/png", PNG).await.created();
        assert_eq!(sent["upload"]["fileName"], cleaned);
        let url = ann.way_to(sent["upload"]["uploadId"].as_str().unwrap()).await;
        let answer = app.http.get(&url).send().await.unwrap();
        let disposition = answer.headers()["content-disposition"].to_str().unwrap();
        assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
        assert_eq!(disposition.matches('"').count(), 2, "{disposition}");
        assert_eq!(answer.headers()["content-type"], "image/png");
        // The file's name is not part of the key.
        assert!(!url.split('?').next().unwrap().contains(".png"), "{url}");
    }
}

#[tokio::test]
async fn file_names_keep_what_joins_their_letters_and_pictures() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for name in ["👩\u{200d}🚀.pdf", "می\u{200c}خواهم.pdf", "പ്രവീണ്\u{200d}.pdf", "❤\u{fe0f}.pdf"]
    {
        let sent = ann.sends_file(room, name, "application/pdf", PDF).await.created();
        assert_eq!(sent["upload"]["fileName"], name);
        let file = json!({"roomId": room, "fileName": name, "type": "application/pdf", "size": PDF.len()});
        let presigned = ann.post("/uploads/presign", file).await.created();
        assert_eq!(super::post_to_store(&app, &presigned, PDF).await, 204);
        assert_eq!(ann.completes(&presigned).await.created()["upload"]["fileName"], name);
    }
}

/// RFC 7578 wants the name as it is. Browsers escape three characters of it (HTML, "multipart/form-data"), and other
/// clients send it as RFC 8187 (once RFC 5987) has it.
#[tokio::test]
async fn the_ways_to_write_a_file_name_into_a_form_are_no_part_of_the_name() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (header, name) in [
        ("; filename*=utf-8''%D1%84%D0%BE%D1%82%D0%BE.pdf", "фото.pdf"),
        (
            "; filename=\"=?utf-8?B?0YTQvtGC0L4ucGRm?=\"; filename*=utf-8''%D1%84%D0%BE%D1%82%D0%BE.pdf",
            "фото.pdf",
        ),
        ("; filename*=UTF-8'ru'%D1%84%D0%BE%D1%82%D0%BE.pdf; filename=\"photo.pdf\"", "фото.pdf"),
        ("; FileName* = \"utf-8''na%C3%AFve.pdf\"", "naïve.pdf"),
        ("; filename*=iso-8859-1''na%EFve.pdf", "naïve.pdf"),
        // What cannot be read counts as absent.
        ("; filename=\"photo.pdf\"; filename*=utf-8''%FF.pdf", "photo.pdf"),
        ("; filename=\"photo.pdf\"; filename*=utf-7''x.pdf", "photo.pdf"),
        ("; filename*=nothing", "file.pdf"),
        ("; filename=\"a; filename*=utf-8''b.pdf\"", "a; filename_=utf-8''b.pdf"),
        ("; filename=\"the %22best%22%0D%0Aof.pdf\"", "the _best_of.pdf"),
        ("; filename=\"100%25 sure.pdf\"", "100%25 sure.pdf"),
    ] {
        let sent = ann.uploads(Form::new().text("roomId", room).file(header, PDF)).await.created();
        assert_eq!(sent["upload"]["fileName"], name, "{header}");
    }
}

/// A browser writes each line break of a field as CRLF (HTML, "Constructing the form data set").
#[tokio::test]
async fn the_line_breaks_of_a_form_are_newlines_of_the_caption() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let form = |caption: &str| {
        let form = Form::new().text("roomId", room).text("caption", caption).text("clientMessageId", "c-1");
        form.file("; filename=\"a.png\"", PNG)
    };
    let sent = ann.uploads(form("one\r\ntwo\r\n\r\nthree")).await.created();
    assert_eq!(sent["message"]["content"], "one\ntwo\n\nthree");
    // The same caption from a client that is no browser.
    assert_eq!(ann.uploads(form("one\ntwo\n\nthree")).await.ok(), sent);
    assert_eq!(ann.uploads(form("one\rtwo")).await.wrong_fields(), ["caption"]);
}

#[tokio::test]
async fn a_file_is_what_its_structure_says_and_not_what_it_mentions() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (what, media_type, bytes) in honest_files() {
        let answer = ann.sends_file(room, "a file", media_type, &bytes).await;
        assert_eq!(answer.status, 201, "{what}: {}", answer.json);
        let presigned = ann.posts_file(&app, room, media_type, &bytes).await;
        let completed = ann.completes(&presigned).await;
        assert_eq!(completed.status, 201, "{what}: {}", completed.json);
        let upload = completed.created()["upload"].clone();
        assert_eq!((&upload["type"], &upload["size"]), (&json!(media_type), &json!(bytes.len())), "{what}");
        assert_eq!(ann.downloads(upload["uploadId"].as_str().unwrap()).await, bytes, "{what}");
    }
}

#[tokio::test]
async fn all_invalid_fields_of_a_form_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let form = Form::new().text("roomId", "x").text("caption", "\u{7}").text("clientMessageId", "");
    assert_eq!(ann.uploads(form).await.wrong_fields(), ["caption", "clientMessageId", "file", "roomId"]);
    let form = Form::new().text("roomId", 1).text("chatId", 2).file("", PNG);
    assert_eq!(ann.uploads(form).await.wrong_fields(), ["roomId"]);
    let form = Form::new().text("roomId", 1).file("", PNG).file("", PNG);
    assert_eq!(ann.uploads(form).await.wrong_fields(), ["file"]);
    let twice = Form::new().text("roomId", "x").text("roomId", 1).text("caption", "a").text("caption", "a");
    assert_eq!(ann.uploads(twice.file("", PNG)).await.wrong_fields(), ["caption", "roomId"]);
    let no_text = |name: &str| Form::new().part(&format!("; name=\"{name}\""), b"\xff\xfe");
    assert_eq!(ann.uploads(no_text("roomId").file("", PNG)).await.wrong_fields(), ["roomId"]);
    let form = no_text("caption").text("clientMessageId", "");
    assert_eq!(ann.uploads(form).await.wrong_fields(), ["caption", "clientMessageId", "file", "roomId"]);
    let long = Form::new().text("roomId", 1).text("caption", "x".repeat(64 * 1024 + 1)).file("", PNG);
    assert_eq!(ann.uploads(long).await.wrong_fields(), ["body"]);
    for (content_type, body) in [
        ("application/json", "{}"),
        ("multipart/form-data", "x"),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf",
        ),
    ] {
        let answer = ann.post_body("/uploads", content_type, body.as_bytes().to_vec()).await;
        assert_eq!(answer.wrong_fields(), ["body"], "{content_type}");
    }
}

#[tokio::test]
async fn non_members_cannot_send_a_file_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let (eve, zoe) = (app.prime("eve").await, app.foreigner("zoe").await);
    eve.sends_file(room, "x.png", "image/png", PNG).await.refused(403, "not_a_member");
    zoe.sends_file(room, "x.png", "image/png", PNG).await.refused(404, "room_not_found");
    eve.presigns(room, "image/png", 9).await.refused(403, "not_a_member");
    zoe.presigns(room, "image/png", 9).await.refused(404, "room_not_found");
    assert_eq!((counts(&app).await, app.stored().len()), ((0, 0), 0));
}

#[tokio::test]
async fn a_form_repeated_with_its_client_message_id_is_sent_once() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    let form = |caption: &str, bytes: &[u8]| {
        let form = Form::new().text("roomId", room).text("caption", caption).text("clientMessageId", "c-1");
        form.file("; filename=\"a.png\"", bytes)
    };
    let first = ann.uploads(form("x", PNG)).await.created();
    assert_eq!(first["message"]["clientMessageId"], "c-1");
    let mut bobs = bob.connect().await;
    assert_eq!(ann.uploads(form("x", PNG)).await.ok(), first);
    bobs.has_nothing().await;
    for other in [form("y", PNG), form("x", &of_size(PNG, 2000)), form("x", PDF)] {
        ann.uploads(other).await.refused(409, "client_message_id_reused");
    }
    // Another user's id is a different one, and a text message with the same id is another body.
    bob.uploads(form("x", PNG)).await.created();
    let text = json!({"roomId": room, "content": "x", "clientMessageId": "c-1"});
    ann.post("/api/messages", text).await.refused(409, "client_message_id_reused");
    assert_eq!((counts(&app).await, app.stored().len()), ((2, 2), 2));
    app.invariants_hold().await;
}

#[tokio::test]
async fn one_of_eight_concurrent_forms_with_one_client_message_id_is_sent() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let send = || {
        let form = Form::new().text("roomId", room).text("clientMessageId", "c-1").file("", PNG);
        ann.uploads(form)
    };
    let answers = join_all((0..8).map(|_| send())).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| answer.json == answers[0].json));
    sweep(&app).await;
    assert_eq!((counts(&app).await, app.stored().len()), ((1, 1), 1));
    app.invariants_hold().await;
}

#[tokio::test]
async fn an_unreachable_store_gives_503_and_no_message() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let app = TestApp::adjusted(|config| config.store.endpoint = Some(format!("http://{closed}"))).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let answer = ann.sends_file(room, "x.png", "image/png", PNG).await;
    assert_eq!(answer.headers["retry-after"], "2");
    let problem = answer.refused(503, "store_unavailable");
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    let presigned = ann.presigns(room, "image/png", PNG.len()).await.created();
    let answer = ann.completes(&presigned).await;
    assert_eq!(answer.headers["retry-after"], "2");
    answer.refused(503, "store_unavailable");
    let mut socket = ann.connect().await;
    socket.refused("sendFile", json!({"uploadId": presigned["uploadId"]}), "store_unavailable").await;
    assert_eq!(ann.reads(room).await.len(), 0);
}

#[tokio::test]
async fn forms_and_presigned_uploads_share_a_limit() {
    let app = TestApp::with(&[("UPLOAD_LIMIT", "2/3600")]).await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    ann.presigns(room, "image/png", 9).await.created();
    ann.sends_file(room, "x.png", "image/png", PNG).await.refused(429, "rate_limited");
    let answer = ann.presigns(room, "image/png", 9).await;
    assert_eq!(answer.headers["ratelimit-limit"], "2");
    assert_eq!(answer.headers["ratelimit-remaining"], "0");
    answer.refused(429, "rate_limited");
    let bobs = bob.opens_a_room().await;
    bob.sends_file(bobs, "x.png", "image/png", PNG).await.created();
}

#[tokio::test]
async fn a_repeated_form_does_not_count_towards_the_limit() {
    let app = TestApp::with(&[("UPLOAD_LIMIT", "1/3600")]).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let form = |id: &str| Form::new().text("roomId", room).text("clientMessageId", id).file("", PNG);
    let sent = ann.uploads(form("c-1")).await.created();
    for _ in 0..2 {
        assert_eq!(ann.uploads(form("c-1")).await.ok(), sent);
    }
    ann.uploads(form("c-2")).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn the_hash_of_a_file_sent_as_a_form_is_stored() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    ann.sends_file(room, "x.png", "image/png", PNG).await.created();
    ann.presigns(room, "image/jpeg", 9).await.created();
    let hashes: Vec<(String, Option<Vec<u8>>)> =
        app.rows("SELECT type, sha256 FROM uploads ORDER BY type").await;
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, PNG);
    // No function has read a posted file as a whole.
    let kept = [("image/jpeg".to_owned(), None), ("image/png".to_owned(), Some(expected.as_ref().to_vec()))];
    assert_eq!(hashes, kept);
}
