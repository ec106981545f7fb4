//! Names, addresses, phone numbers and passwords as people and their keyboards write them.

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

async fn logs_in(app: &TestApp, field: &str, identifier: &str, password: &str) -> Answer {
    app.post("/api/auth/login", json!({(field): identifier, "password": password})).await
}

#[tokio::test]
async fn names_that_people_have_are_accepted_everywhere_whatever_joins_their_letters() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    for name in ["പ്രവീണ്\u{200d}", "র\u{200d}্যাচেল", "کار\u{200c}ها", "葛\u{e0100}城", "ಪ್ರಕಾಶ್\u{200c}"]
    {
        let username = format!("{name} {}", ann.user_id);
        let all = json!({"name": name, "username": username, "organizationName": username, "password": "correct horse"});
        let registered = app.post("/api/auth/register", all).await.created();
        let user = &registered["user"];
        assert_eq!((&user["name"], &user["username"]), (&json!(name), &json!(username)));
        assert_eq!(user["organization"]["name"], username.as_str());
        assert_eq!(ann.patch("/api/profile", json!({"name": name})).await.ok()["name"], name);
        ann.makes_a_channel(name).await;
        ann.post("/groups", json!({"name": name})).await.created();
        // What joins the letters makes no other name.
        let plain: String =
            username.chars().filter(|c| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{e0100}')).collect();
        let taken = json!({"username": plain, "password": "correct horse"});
        assert_eq!(
            app.post("/api/auth/register", taken).await.refused(409, "user_exists")["field"],
            "username"
        );
        logs_in(&app, "username", &plain, "correct horse").await.ok();
    }
}

#[tokio::test]
async fn a_name_of_blank_characters_is_refused() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for blank in ["\u{2800}", "\u{2800} \u{3000}"] {
        assert_eq!(
            ann.patch("/api/profile", json!({"name": blank})).await.wrong_fields(),
            ["name"],
            "{blank:?}"
        );
    }
}

#[tokio::test]
async fn a_password_is_the_same_however_a_keyboard_composes_it() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "password": "pass\u{e9}word"})).await;
    for spelling in ["passe\u{301}word", "ｐａｓｓéｗｏｒｄ", "pass\u{e9}word"] {
        logs_in(&app, "userId", &ann.user_id, spelling).await.ok();
    }
    logs_in(&app, "userId", &ann.user_id, "passeword").await.refused(401, "invalid_credentials");
    let change = json!({"password": "e\u{301}te\u{301} 2026", "currentPassword": "passe\u{301}word"});
    ann.patch("/api/profile", change).await.ok();
    logs_in(&app, "userId", &ann.user_id, "\u{e9}t\u{e9}\u{a0}2026").await.ok();
}

#[tokio::test]
async fn the_password_of_a_room_is_the_same_however_a_keyboard_composes_it() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.prime("eve").await);
    let made = ann.post("/api/chatrooms", json!({"password": "s\u{e9}same ouvre"})).await.created();
    let room = &made["room"]["id"];
    let join = |password: &str| json!({"roomId": room, "password": password});
    bob.post("/api/joinroom", join("sesame ouvre")).await.refused(403, "wrong_room_password");
    bob.post("/api/joinroom", join("se\u{301}same ouvre")).await.created();
    let invitation = json!({"roomId": room, "password": "se\u{301}same ouvre", "userId": eve.user_id});
    ann.post("/api/invite", invitation).await.created();
}

/// Until passwords were normalized, they were hashed as they were typed.
#[tokio::test]
async fn an_old_hash_of_an_unusual_spelling_still_matches_and_is_renewed() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for typed in ["passe\u{301}word", &"\u{fdfa}".repeat(24)] {
        #[expect(clippy::disallowed_methods, reason = "as the service once did")]
        let old = bcrypt::hash(typed, 4).unwrap();
        app.run("UPDATE users SET password_hash = ? WHERE user_id = ?", (old, &ann.user_id)).await;
        for _ in 0..2 {
            logs_in(&app, "userId", &ann.user_id, typed).await.ok();
        }
    }
    #[expect(clippy::disallowed_methods, reason = "as the service once did")]
    let old = bcrypt::hash("passe\u{301}word", 4).unwrap();
    app.run("UPDATE users SET password_hash = ? WHERE user_id = ?", (old, &ann.user_id)).await;
    logs_in(&app, "userId", &ann.user_id, "passe\u{301}word").await.ok();
    logs_in(&app, "userId", &ann.user_id, "pass\u{e9}word").await.ok();
}

#[tokio::test]
async fn a_password_has_8_to_72_bytes_as_it_is_stored() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    let sets = async |password: &str| {
        ann.patch("/api/profile", json!({"password": password, "currentPassword": "correct horse"})).await
    };
    // These are 12 bytes as they were typed and 4 as they are stored, and 75 that become 825.
    assert_eq!(sets("ｐａｓｓ").await.wrong_fields(), ["password"]);
    assert_eq!(sets(&"\u{fdfa}".repeat(24)).await.wrong_fields(), ["password"]);
    // And these are 90 that become 30.
    sets(&"ｐ".repeat(30)).await.ok();
    logs_in(&app, "userId", &ann.user_id, &"p".repeat(30)).await.ok();
}

#[tokio::test]
async fn addresses_and_phone_numbers_are_taken_as_phones_paste_them() {
    let app = TestApp::start().await;
    let digits = format!("{:010}", rand::random::<u32>());
    let (area, line) = digits.split_at(3);
    let expected = format!("+49{digits}");
    let ann = app.user("ann").await;
    for phone in [
        format!("\u{202a}+49\u{a0}{area}\u{2011}{line}\u{202c}"),
        format!("+49 ({area}) {line}"),
        format!(" +49.{area}.{line} "),
        format!("\u{2068}＋49\u{2009}{area}\u{2013}{line}\u{2069}"),
    ] {
        let patched = ann.patch("/api/profile", json!({"phone": phone})).await.ok();
        assert_eq!(patched["phone"], expected, "{phone:?}");
        for field in ["phone", "identifier"] {
            let login = logs_in(&app, field, &phone, &format!("{}'s password", ann.user_id)).await.ok();
            assert_eq!(login["user"]["userId"], ann.user_id);
        }
    }
    // A trunk prefix is not dialled after the country's code, so nobody can tell what this number is.
    for phone in ["+44 (0)20 7946 0000", "+49x123", "+49\u{7}123"] {
        assert_eq!(
            ann.patch("/api/profile", json!({"phone": phone})).await.wrong_fields(),
            ["phone"],
            "{phone:?}"
        );
    }
    let email = format!("ann@{}.example", ann.user_id);
    for typed in [format!("{email} "), format!(" \u{a0}{email}"), format!("\u{202a}{email}\u{202c}\u{feff}")]
    {
        assert_eq!(
            ann.patch("/api/profile", json!({"email": typed})).await.ok()["email"],
            email,
            "{typed:?}"
        );
        logs_in(&app, "email", &typed, &format!("{}'s password", ann.user_id)).await.ok();
    }
}

/// A phone's keyboard puts a space after a word that it completes.
#[tokio::test]
async fn a_username_and_an_id_are_taken_with_spaces_around_them() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let password = format!("{}'s password", ann.user_id);
    let username = format!("Ann of {}", ann.user_id);
    let patched = ann.patch("/api/profile", json!({"username": format!(" {username} ")})).await.ok();
    assert_eq!(patched["username"], username);
    for (field, typed) in [
        ("username", format!("{username} ")),
        ("userId", format!("{} ", ann.user_id)),
        ("identifier", format!(" {}", ann.user_id)),
    ] {
        let login: Value = logs_in(&app, field, &typed, &password).await.ok();
        assert_eq!(login["user"]["userId"], ann.user_id, "{field}");
    }
}

/// Other spellings of a phone number are no further guesses.
#[tokio::test]
async fn all_spellings_of_a_phone_number_are_counted_together() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "3/600")]).await;
    app.register(json!({"userId": "ann", "phone": "+4912345"})).await;
    for typed in ["+4912345", "+49(123)45", "\u{202a}+49 123\u{2011}45"] {
        logs_in(&app, "phone", typed, "a guess").await.refused(401, "invalid_credentials");
    }
    logs_in(&app, "phone", "+49.123.45", "a guess").await.refused(429, "rate_limited");
}

/// Some programs begin a text with a byte order mark, which RFC 8259 lets a parser ignore.
#[tokio::test]
async fn a_body_with_a_byte_order_mark_is_read() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let body = format!("\u{feff}{}", json!({"name": "Hikers"}));
    ann.post_body("/groups", "application/json", body.into()).await.created();
}
