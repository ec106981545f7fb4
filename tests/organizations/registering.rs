use futures_util::future::join_all;
use serde_json::json;

use super::{membership, registers};
use crate::harness::TestApp;

/// An organization's name that no other test uses, and its key.
async fn name(app: &TestApp) -> (String, String) {
    let name = format!("Club of {}", app.user("ann").await.user_id);
    let key = name.to_lowercase();
    (name, key)
}

#[tokio::test]
async fn whoever_registers_with_a_new_organization_name_creates_it_and_is_its_admin() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let founded = registers(&app, &club, json!({"role": "admin"})).await.created();
    assert_eq!(membership(&founded), (club.as_str(), "admin", true));
    assert_eq!(founded["warnings"], json!([]));
    let plain = registers(&app, &format!("{club} 2"), json!({})).await.created();
    assert_eq!((membership(&plain).1, &plain["warnings"]), ("admin", &json!([])));
}

#[tokio::test]
async fn a_founder_who_asks_for_a_lower_role_is_an_admin_and_gets_a_warning() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    for role in ["moderator", "user"] {
        let founded = registers(&app, &format!("{club} {role}"), json!({"role": role})).await.created();
        assert_eq!(membership(&founded).1, "admin");
        assert_eq!(founded["warnings"].as_array().unwrap().len(), 1, "{}", founded["warnings"]);
    }
}

#[tokio::test]
async fn with_open_grants_anybody_can_join_an_organization_by_its_case_insensitive_name() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let founded = registers(&app, &club, json!({})).await.created();
    for spelling in [club.clone(), club.to_uppercase(), format!(" {club} ")] {
        let entered = registers(&app, &spelling, json!({"role": "user"})).await.created();
        assert_eq!(membership(&entered), (club.as_str(), "user", false));
        assert_eq!(entered["user"]["organization"], founded["user"]["organization"]);
    }
}

#[tokio::test]
async fn nobody_can_register_as_admin_or_moderator_of_an_existing_organization() {
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
async fn without_an_organization_name_a_user_is_in_public() {
    let app = TestApp::start().await;
    let registered = app.post("/api/auth/register", json!({"password": "correct horse"})).await.created();
    assert_eq!(registered["user"]["organization"], json!({"id": 1, "name": "public"}));
    assert_eq!(membership(&registered), ("public", "user", false));
    let named = registers(&app, "Public", json!({})).await.created();
    assert_eq!(membership(&named), ("public", "user", false));
}

#[tokio::test]
async fn a_join_code_that_was_not_used_gives_a_warning() {
    let app = TestApp::start().await;
    let (club, _) = name(&app).await;
    let misspelt = registers(&app, &club, json!({"joinCode": "for another one"})).await.created();
    assert_eq!((membership(&misspelt).1, misspelt["warnings"].as_array().unwrap().len()), ("admin", 1));
    let nameless = json!({"password": "correct horse", "joinCode": "x"});
    let nameless = app.post("/api/auth/register", nameless).await.created();
    assert_eq!(nameless["warnings"].as_array().unwrap().len(), 1);
    for public in ["public", "Public "] {
        let open = registers(&app, public, json!({"joinCode": "x"})).await.created();
        assert_eq!((membership(&open).0, open["warnings"].as_array().unwrap().len()), ("public", 1));
    }
    // A code that was or could have been used gives no warning.
    let entered = registers(&app, &club, json!({"joinCode": misspelt["joinCode"]})).await.created();
    assert_eq!((membership(&entered).1, &entered["warnings"]), ("user", &json!([])));
}

#[tokio::test]
async fn invalid_names_codes_and_roles_are_reported_together() {
    let app = TestApp::start().await;
    let answer = registers(&app, " ", json!({"joinCode": "", "role": "king"})).await;
    assert_eq!(answer.wrong_fields(), ["joinCode", "organizationName", "role"]);
}

#[tokio::test]
async fn one_of_eight_concurrent_registrations_creates_the_organization_and_seven_join_it() {
    let app = TestApp::start().await;
    let (club, key) = name(&app).await;
    let answers = join_all((0..8).map(|_| registers(&app, &club, json!({})))).await;
    let registered: Vec<_> = answers.into_iter().map(crate::harness::Answer::created).collect();
    let mut memberships: Vec<_> = registered.iter().map(membership).collect();
    memberships.sort_unstable();
    let mut expected = vec![(club.as_str(), "admin", true)];
    expected.resize(8, (club.as_str(), "user", false));
    assert_eq!(memberships, expected);
    let made: Vec<u64> =
        app.rows(&format!("SELECT COUNT(*) FROM organizations WHERE name_key = '{key}'")).await;
    assert_eq!(made, [1]);
}

#[tokio::test]
async fn one_of_eight_concurrent_registrations_as_admin_succeeds() {
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
async fn a_failed_registration_leaves_no_organization_behind() {
    let app = TestApp::start().await;
    let (club, key) = name(&app).await;
    let zoe = app.user("zoe").await;
    registers(&app, &club, json!({"userId": zoe.user_id})).await.refused(409, "user_exists");
    let made: Vec<u64> =
        app.rows(&format!("SELECT COUNT(*) FROM organizations WHERE name_key = '{key}'")).await;
    assert_eq!(made, [0]);
    assert_eq!(
        membership(&registers(&app, &club, json!({})).await.created()),
        (club.as_str(), "admin", true)
    );
}

#[tokio::test]
async fn a_registration_beside_a_failing_one_creates_the_organization() {
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
        assert_eq!(membership(&good.created()), (club.as_str(), "admin", true));
    }
}

#[tokio::test]
async fn names_that_look_the_same_name_one_organization() {
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
async fn names_with_invisible_characters_are_refused_everywhere_and_emoji_are_accepted() {
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
