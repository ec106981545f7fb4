use futures_util::future::join_all;
use serde_json::json;

use super::{place, registers};
use crate::harness::TestApp;

/// A name that no other test uses, and its key.
async fn name(app: &TestApp) -> (String, String) {
    let name = format!("Club of {}", app.user("ann").await.user_id);
    let key = name.to_lowercase();
    (name, key)
}

#[tokio::test]
async fn who_names_a_new_organization_makes_it_and_is_its_admin() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let founded = registers(&app, &club, json!({"role": "admin"})).await.created();
    assert_eq!(place(&founded), (club.as_str(), "admin", true));
    assert_eq!(founded["warnings"], json!([]));
    let plain = registers(&app, &format!("{club} 2"), json!({})).await.created();
    assert_eq!((place(&plain).1, &plain["warnings"]), ("admin", &json!([])));
}

#[tokio::test]
async fn who_makes_an_organization_and_asks_for_less_is_its_admin_with_a_warning() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    for role in ["moderator", "user"] {
        let founded = registers(&app, &format!("{club} {role}"), json!({"role": role})).await.created();
        assert_eq!(place(&founded).1, "admin");
        assert_eq!(founded["warnings"].as_array().unwrap().len(), 1, "{}", founded["warnings"]);
    }
}

#[tokio::test]
async fn with_open_grants_anybody_enters_an_organization_by_its_name_without_regard_to_case() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let founded = registers(&app, &club, json!({})).await.created();
    for spelling in [club.clone(), club.to_uppercase(), format!(" {club} ")] {
        let entered = registers(&app, &spelling, json!({"role": "user"})).await.created();
        assert_eq!(place(&entered), (club.as_str(), "user", false));
        assert_eq!(entered["user"]["organization"], founded["user"]["organization"]);
    }
}

#[tokio::test]
async fn in_an_organization_that_exists_nobody_starts_above_a_user() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    registers(&app, &club, json!({})).await.created();
    for organization in [club.as_str(), "public", "PUBLIC"] {
        for role in ["admin", "moderator"] {
            registers(&app, organization, json!({"role": role})).await.refused(403, "role_not_allowed");
        }
    }
}

#[tokio::test]
async fn who_names_no_organization_is_in_public() {
    let app = TestApp::start().await;
    let registered = app.post("/api/auth/register", json!({"password": "correct horse"})).await.created();
    assert_eq!(registered["user"]["organization"], json!({"id": 1, "name": "public"}));
    assert_eq!(place(&registered), ("public", "user", false));
    let named = registers(&app, "Public", json!({})).await.created();
    assert_eq!(place(&named), ("public", "user", false));
}

#[tokio::test]
async fn a_join_code_that_was_of_no_use_is_told() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let misspelt = registers(&app, &club, json!({"joinCode": "for another one"})).await.created();
    assert_eq!((place(&misspelt).1, misspelt["warnings"].as_array().unwrap().len()), ("admin", 1));
    let nameless = json!({"password": "correct horse", "joinCode": "x"});
    let nameless = app.post("/api/auth/register", nameless).await.created();
    assert_eq!(nameless["warnings"].as_array().unwrap().len(), 1);
    for public in ["public", "Public "] {
        let open = registers(&app, public, json!({"joinCode": "x"})).await.created();
        assert_eq!((place(&open).0, open["warnings"].as_array().unwrap().len()), ("public", 1));
    }
    // One that opened a door, or might have, needs no words.
    let entered = registers(&app, &club, json!({"joinCode": misspelt["joinCode"]})).await.created();
    assert_eq!((place(&entered).1, &entered["warnings"]), ("user", &json!([])));
}

#[tokio::test]
async fn wrong_names_and_codes_are_named_at_once() {
    let app = TestApp::start().await;
    let answer = registers(&app, " ", json!({"joinCode": "", "role": "king"})).await;
    assert_eq!(answer.wrong_fields(), ["joinCode", "organizationName", "role"]);
}

#[tokio::test]
async fn of_eight_who_register_one_new_name_at_once_one_makes_it_and_seven_enter() {
    let app = TestApp::start().await;
    let (club, key) = name(&app).await;
    let answers = join_all((0..8).map(|_| registers(&app, &club, json!({})))).await;
    let registered: Vec<_> = answers.into_iter().map(crate::harness::Answer::created).collect();
    let mut places: Vec<_> = registered.iter().map(place).collect();
    places.sort_unstable();
    let mut expected = vec![(club.as_str(), "admin", true)];
    expected.resize(8, (club.as_str(), "user", false));
    assert_eq!(places, expected);
    let made: Vec<u64> =
        app.rows(&format!("SELECT COUNT(*) FROM organizations WHERE name_key = '{key}'")).await;
    assert_eq!(made, [1]);
}

#[tokio::test]
async fn of_eight_who_want_to_be_admin_of_one_new_name_at_once_one_is() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let answers = join_all((0..8).map(|_| registers(&app, &club, json!({"role": "admin"})))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 7));
    for answer in refused {
        answer.refused(403, "role_not_allowed");
    }
}

#[tokio::test]
async fn an_organization_is_not_left_behind_by_a_registration_that_fails() {
    let app = TestApp::start().await;
    let (club, key) = name(&app).await;
    let zoe = app.user("zoe").await;
    registers(&app, &club, json!({"userId": zoe.user_id})).await.refused(409, "user_exists");
    let made: Vec<u64> =
        app.rows(&format!("SELECT COUNT(*) FROM organizations WHERE name_key = '{key}'")).await;
    assert_eq!(made, [0]);
    assert_eq!(place(&registers(&app, &club, json!({})).await.created()), (club.as_str(), "admin", true));
}

#[tokio::test]
async fn beside_a_registration_that_fails_the_other_one_makes_the_organization() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let zoe = app.user("zoe").await;
    for round in 0..10 {
        let club = format!("{club} {round}");
        let (failed, good) = tokio::join!(
            registers(&app, &club, json!({"userId": zoe.user_id})),
            registers(&app, &club, json!({}))
        );
        failed.refused(409, "user_exists");
        assert_eq!(place(&good.created()), (club.as_str(), "admin", true));
    }
}

#[tokio::test]
async fn names_that_look_the_same_are_one_organization() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let founded = registers(&app, &format!("{club} Caf\u{e9}"), json!({})).await.created();
    for spelling in ["Cafe\u{301}", "CAFÉ", "  cafe\u{301} ", "\u{ff23}af\u{e9}"] {
        let entered = registers(&app, &format!("{club} {spelling}"), json!({})).await.created();
        assert_eq!(entered["user"]["organization"], founded["user"]["organization"], "{spelling:?}");
    }
    let other = registers(&app, &format!("{club} Cafe"), json!({})).await.created();
    assert_ne!(other["user"]["organization"], founded["user"]["organization"]);
}

#[tokio::test]
async fn a_name_with_what_cannot_be_seen_is_refused_everywhere_and_an_emoji_is_none() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    for hidden in ["Acme\u{200b}", "\u{202e}Acme", "Ac\u{2066}me"] {
        let answer = registers(&app, hidden, json!({"name": hidden, "username": hidden})).await;
        assert!(
            answer.json["detail"]
                .as_str()
                .unwrap()
                .contains("must have no invisible characters, and has U+2")
        );
        assert_eq!(answer.wrong_fields(), ["name", "organizationName", "username"], "{hidden:?}");
        for path in ["/api/chat", "/groups"] {
            assert_eq!(ann.post(path, json!({"name": hidden})).await.wrong_fields(), ["name"], "{hidden:?}");
        }
        let room = json!({"name": hidden, "password": "open sesame"});
        assert_eq!(ann.post("/api/chatrooms", room).await.wrong_fields(), ["name"]);
        assert_eq!(ann.patch("/api/profile", json!({"name": hidden})).await.wrong_fields(), ["name"]);
    }
    let astronauts = "👩🏽\u{200d}🚀 ❤\u{fe0f}";
    assert_eq!(ann.patch("/api/profile", json!({"name": astronauts})).await.ok()["name"], astronauts);
    ann.makes_a_channel(astronauts).await;
}
