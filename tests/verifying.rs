//! `coterie verify`: docs/contract.md, "Verifying what is stored".

use std::path::PathBuf;

use image::ImageFormat;
use serde_json::json;
use tokio::process::Command;

use crate::binaries::binary;
use crate::harness::TestApp;
use crate::uploads::{Form, picture};

/// Runs `coterie verify`. Returns its exit code, what it prints, and its last words.
async fn verify(app: &TestApp) -> (i32, Vec<String>, String) {
    let mut command = Command::new(binary("coterie"));
    command.arg("verify").arg("--uploads").arg(app.store_folder()).env_clear().envs(app.settings());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let lines = text(output.stdout).lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines, text(output.stderr).trim().to_owned())
}

#[tokio::test]
async fn each_broken_invariant_is_shown_with_its_row_and_nothing_is_wrong_without() {
    let app = TestApp::start().await;
    let (ann, bob, cat) = (app.prime("ann").await, app.user("bob").await, app.rich("cat", 300).await);
    let eve = app.foreigner("eve").await;
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    ann.says(room, "hello").await.created();
    let reply = json!({"roomId": room, "content": "hi", "replyTo": format!("{room}-2"), "mentions": ["ann"]});
    bob.post("/api/messages", reply).await.created();
    let mut socket = bob.connect().await;
    for reaction in ["👍", "❤"] {
        let data = json!({"messageId": format!("{room}-2"), "reaction": reaction});
        socket.acked("reactMessage", data).await;
    }
    let image = picture(600, 400, ImageFormat::Png);
    let file = ann.sends_file(room, "a.png", "image/png", &image).await.created();
    let upload = file["message"]["attachment"]["uploadId"].as_str().unwrap().to_owned();
    ann.says(room, "never mind").await.created();
    ann.delete(&format!("/api/messages/{room}-7")).await.ok();
    let direct = ann.chats_with(&cat).await;
    let key = json!({"command": "grant", "userId": "cat", "coins": 5, "idempotencyKey": "once"});
    app.invoke("operator", key).await.unwrap();
    ann.sets_avatar(&image).await.ok();
    let form = Form::new().file("; filename=\"room\"", &image);
    ann.sends_form("PUT", &format!("/api/rooms/{room}/avatar"), form).await.ok();
    let ledger: Vec<u64> = app.rows("SELECT id FROM coin_ledger WHERE user_id = 'cat' ORDER BY id").await;
    let object: String = app.rows("SELECT object_key FROM uploads").await.remove(0);
    let avatar_of_ann: String =
        app.rows("SELECT avatar_key FROM users WHERE user_id = 'ann'").await.remove(0);
    let avatar_of_room: String =
        app.rows(&format!("SELECT avatar_key FROM rooms WHERE id = {room}")).await.remove(0);
    let fine = || (0, vec!["nothing is wrong".to_owned()], String::new());
    assert_eq!(verify(&app).await, fine());

    let message = |seq: u32| format!("WHERE room_id = {room} AND seq = {seq}");
    let acme = app.rows::<u64>("SELECT organization_id FROM users WHERE user_id = 'eve'").await[0];
    app.run("INSERT INTO coin_ledger (user_id, delta, balance_after, reason, created_at) VALUES ('eve', 1, 1, 'x', NOW())", ()).await;
    app.run("UPDATE users SET avail_coins = 1 WHERE user_id = 'eve'", ()).await;
    let of_eve = app.rows::<u64>("SELECT id FROM coin_ledger WHERE user_id = 'eve'").await[0];
    assert_eq!(verify(&app).await, fine(), "{}", eve.user_id);

    // What breaks an invariant, what mends it, and what is shown of it.
    let broken = [
        (
            "UPDATE users SET avail_coins = 306 WHERE user_id = 'cat'".into(),
            "UPDATE users SET avail_coins = 305 WHERE user_id = 'cat'".into(),
            "users cat: avail_coins is 306, but the sum of the ledger is 305".into(),
        ),
        (
            format!("UPDATE coin_ledger SET balance_after = 304 WHERE id = {}", ledger[1]),
            format!("UPDATE coin_ledger SET balance_after = 305 WHERE id = {}", ledger[1]),
            format!("coin_ledger {}: balance_after is 304, but the sum up to it is 305", ledger[1]),
        ),
        (
            format!("UPDATE coin_grants SET ledger_id = {of_eve}"),
            format!("UPDATE coin_grants SET ledger_id = {}", ledger[1]),
            format!("coin_grants cat {of_eve}: the row of the ledger is that of eve"),
        ),
        (
            format!("UPDATE rooms SET member_count = 3 WHERE id = {room}"),
            format!("UPDATE rooms SET member_count = 2 WHERE id = {room}"),
            format!("rooms {room}: member_count is 3, but it has 2 members"),
        ),
        (
            format!("UPDATE rooms SET capacity = 7 WHERE id = {room}"),
            format!("UPDATE rooms SET capacity = 6 WHERE id = {room}"),
            format!("rooms {room}: a room of its kind has 6 seats, but it has 7"),
        ),
        (
            format!("UPDATE room_members SET role = 'owner' WHERE room_id = {room} AND user_id = 'bob'"),
            format!("UPDATE room_members SET role = 'member' WHERE room_id = {room} AND user_id = 'bob'"),
            format!("rooms {room}: it has 2 owners"),
        ),
        (
            format!("UPDATE direct_chats SET greater_id = 'bob' WHERE room_id = {direct}"),
            format!("UPDATE direct_chats SET greater_id = 'cat' WHERE room_id = {direct}"),
            format!("rooms {direct}: it is a direct chat, but its members are not the two of its pair"),
        ),
        (
            format!("UPDATE users SET organization_id = {acme} WHERE user_id = 'bob'"),
            "UPDATE users SET organization_id = 1 WHERE user_id = 'bob'".into(),
            format!("room_members {room} bob: the room is of another organization"),
        ),
        (
            format!("UPDATE room_members SET read_seq = 99 WHERE room_id = {room} AND user_id = 'bob'"),
            format!("UPDATE room_members SET read_seq = 1 WHERE room_id = {room} AND user_id = 'bob'"),
            format!("room_members {room} bob: read_seq is 99 and joined_seq 1, but the last number is 9"),
        ),
        (
            format!("UPDATE messages SET reply_count = 2 {}", message(2)),
            format!("UPDATE messages SET reply_count = 1 {}", message(2)),
            format!("messages {room}-2: reply_count is 2, but it has 1 replies"),
        ),
        (
            format!("UPDATE messages SET reply_to_seq = 4 {}", message(3)),
            format!("UPDATE messages SET reply_to_seq = 2 {}", message(3)),
            format!("messages {room}-3: it replies to 4, which is no message before it"),
        ),
        (
            format!("UPDATE reactions SET seq = 3 WHERE reaction = '👍' AND room_id = {room}"),
            format!("UPDATE reactions SET seq = 2 WHERE reaction = '👍' AND room_id = {room}"),
            format!("messages {room}-2: it shows 2 reactions of 2 kinds, but has 1 of 1"),
        ),
        (
            format!("UPDATE mentions SET seq = 2 {}", message(3)),
            format!("UPDATE mentions SET seq = 3 {}", message(2)),
            format!("messages {room}-3: it mentions 1 besides its sender, but has 0 rows of mentions"),
        ),
        (
            format!("UPDATE messages SET content = 'x' {}", message(7)),
            format!("UPDATE messages SET content = '' {}", message(7)),
            format!("messages {room}-7: it is deleted, but has contents"),
        ),
        (
            "UPDATE uploads SET room_id = NULL, seq = NULL".into(),
            format!("UPDATE uploads SET room_id = {room}, seq = 6"),
            format!("messages {room}-6: it is a file, but has no upload"),
        ),
        (
            "UPDATE uploads SET seq = 2".into(),
            "UPDATE uploads SET seq = 6".into(),
            format!("uploads {upload}: it is sent as {room}-2, which is not a file of its sender"),
        ),
        (
            format!("UPDATE rooms SET last_seq = 11 WHERE id = {room}"),
            format!("UPDATE rooms SET last_seq = 9 WHERE id = {room}"),
            format!("rooms {room}: no message and no change has a number from 10 to 11"),
        ),
        (
            format!("UPDATE rooms SET last_seq = 8 WHERE id = {room}"),
            format!("UPDATE rooms SET last_seq = 9 WHERE id = {room}"),
            format!("rooms {room}: last_seq is 8, but the number 9 is taken"),
        ),
        (
            format!("UPDATE messages SET updated_seq = 2 {}", message(2)),
            format!("UPDATE messages SET updated_seq = 5 {}", message(2)),
            format!("rooms {room}: no message and no change has a number from 4 to 5"),
        ),
        (
            format!("UPDATE messages SET updated_seq = 4 {}", message(6)),
            format!("UPDATE messages SET updated_seq = 6 {}", message(6)),
            format!("messages {room}-6: updated_seq is 4, which is before it"),
        ),
        (
            format!("UPDATE uploads SET size = size + 1 WHERE upload_id = '{upload}'"),
            format!("UPDATE uploads SET size = size - 1 WHERE upload_id = '{upload}'"),
            format!(
                "uploads {upload}: its file files/{upload}/{object} has {} bytes instead of {}",
                image.len(),
                image.len() + 1
            ),
        ),
    ];
    for (breaks, mends, shown) in broken {
        let (breaks, mends, shown): (String, String, String) = (breaks, mends, shown);
        app.run(&breaks, ()).await;
        let (code, lines, last_words) = verify(&app).await;
        assert!(code == 1 && lines.contains(&shown), "{breaks}: {code}, {lines:#?} instead of {shown}");
        let wrong =
            if lines.len() == 1 { "one thing is".to_owned() } else { format!("{} things are", lines.len()) };
        assert_eq!(last_words, format!("coterie: {wrong} wrong"));
        app.run(&mends, ()).await;
    }
    assert_eq!(verify(&app).await, fine());

    let path = |key: &str| -> PathBuf { app.store_folder().join("uploads").join(key) };
    let elsewhere = app.store_folder().join("elsewhere");
    let file = format!("files/{upload}/{object}");
    for (key, shown) in [
        (file.clone(), format!("uploads {upload}: its file {file} is not in the store")),
        (
            format!("{file}.thumbnail"),
            format!("uploads {upload}: its thumbnail {file}.thumbnail is not in the store"),
        ),
        (
            format!("avatars/{avatar_of_ann}"),
            format!("users ann: its avatar avatars/{avatar_of_ann} is not in the store"),
        ),
        (
            format!("avatars/{avatar_of_room}"),
            format!("rooms {room}: its avatar avatars/{avatar_of_room} is not in the store"),
        ),
    ] {
        std::fs::rename(path(&key), &elsewhere).unwrap();
        let (code, lines, _) = verify(&app).await;
        assert_eq!((code, lines), (1, vec![shown]));
        std::fs::rename(&elsewhere, path(&key)).unwrap();
    }
    for key in ["files/nobodys/file", "avatars/nobodys"] {
        std::fs::create_dir_all(path(key).parent().unwrap()).unwrap();
        std::fs::write(path(key), "x").unwrap();
        let (code, lines, _) = verify(&app).await;
        assert_eq!((code, lines), (1, vec![format!("files {key}: no row knows of it")]));
        std::fs::remove_file(path(key)).unwrap();
    }
    assert_eq!(verify(&app).await, fine());
}

#[tokio::test]
async fn portions_leave_no_row_out() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    // More rows than a portion has, in one room and in the next.
    let other = ann.opens_a_room().await;
    for room in [room, other] {
        app.run(
            "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
             WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < 990)
             SELECT ?, a.seq * 2 + b.seq - 2, a.seq * 2 + b.seq - 2, 'text', 'ann', 'x', NOW()
             FROM n a CROSS JOIN (SELECT 1 AS seq UNION ALL SELECT 2) b",
            (room,),
        )
        .await;
        app.run("UPDATE rooms SET last_seq = 1980 WHERE id = ?", (room,)).await;
    }
    app.invariants_hold().await;
    // The number 1000 is the last of a portion, and 1001 the first of the next.
    for (room, seq) in [(room, 1000), (room, 1001), (other, 20), (other, 1980)] {
        app.run("UPDATE messages SET reply_count = 7 WHERE room_id = ? AND seq = ?", (room, seq)).await;
    }
    app.run("DELETE FROM messages WHERE room_id = ? AND seq BETWEEN 1500 AND 1502", (other,)).await;
    let (code, mut lines, _) = verify(&app).await;
    lines.sort();
    let counted = |room, seq| format!("messages {room}-{seq}: reply_count is 7, but it has 0 replies");
    let mut expected = [(room, 1000), (room, 1001), (other, 20), (other, 1980)]
        .map(|(room, seq)| counted(room, seq))
        .to_vec();
    expected.push(format!("rooms {other}: no message and no change has a number from 1500 to 1502"));
    expected.sort();
    assert_eq!((code, lines), (1, expected));
}
