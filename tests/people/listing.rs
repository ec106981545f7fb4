use serde_json::{Value, json};
use shared::base::page::Page;
use shared::people::profiles::{self, Search};

use crate::harness::{Answer, Person, TestApp};

/// The userIds of a page.
fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap()).collect()
}

async fn search(asker: &Person, q: &str) -> Answer {
    let encoded: String = q.bytes().map(|byte| format!("%{byte:02X}")).collect();
    asker.get(&format!("/users?pageSize=100&q={encoded}")).await
}

#[tokio::test]
async fn the_users_of_the_organization_are_listed_by_id_in_pages() {
    let app = TestApp::start().await;
    let (cat, ann, bob) = (app.user("cat").await, app.user("ann").await, app.user("bob").await);
    app.organization(&[&ann, &bob, &cat]).await;
    let page = ann.get("/users?pageSize=2").await.ok();
    assert_eq!(ids(&page), [&ann.user_id, &bob.user_id]);
    assert_eq!((&page["total"], &page["pages"], &page["currentPage"]), (&json!(3), &json!(2), &json!(1)));
    let page = ann.get("/api/users?pageSize=2&page=2").await.ok();
    assert_eq!(ids(&page), [&cat.user_id]);
    let page = ann.get("/users?page=7").await.ok();
    assert_eq!((ids(&page), &page["total"], &page["currentPage"]), (vec![], &json!(3), &json!(7)));
}

#[tokio::test]
async fn each_row_is_the_public_profile_that_get_profile_returns() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.rich("bob", 7).await);
    app.organization(&[&ann, &bob]).await;
    app.run(
        "INSERT INTO friend_requests (from_id, to_id, status, created_at) VALUES (?, ?, 'pending', NOW())",
        (&bob.user_id, &ann.user_id),
    )
    .await;
    let _socket = bob.connect().await;
    let page = ann.get("/users").await.ok();
    assert_eq!(page["data"][1], ann.get(&format!("/api/profile/{}", bob.user_id)).await.ok());
    assert_eq!(
        (&page["data"][1]["friendship"], &page["data"][1]["online"]),
        (&json!("requestReceived"), &json!(true))
    );
    // The user's own row has only the public fields too.
    assert_eq!(page["data"][0]["friendship"], Value::Null);
    assert!(page["data"][0].get("availCoins").is_none(), "{page}");
}

#[tokio::test]
async fn users_of_another_organization_are_not_listed() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.user("ann").await, app.user("bob").await, app.user("zoe").await);
    app.organization(&[&ann, &bob]).await;
    app.organization(&[&zoe]).await;
    assert_eq!(ids(&zoe.get("/users").await.ok()), [&zoe.user_id]);
    assert_eq!(search(&zoe, &ann.user_id).await.ok()["total"], 0);
}

#[tokio::test]
async fn q_is_a_prefix_of_a_user_id_username_or_name_and_only_user_ids_are_case_sensitive() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "name": "Élodie Ångström"})).await;
    let bob = app.register(json!({"userId": "bob", "name": "Robert"})).await;
    let ending = &ann.user_id["ann".len()..];
    let cat =
        app.register(json!({"userId": "cat", "username": format!("Mieze Ä{ending}"), "name": "Chat"})).await;
    app.organization(&[&ann, &bob, &cat]).await;
    for (q, found) in [
        ("ann", vec![&ann.user_id]),
        ("ANN", vec![]),
        ("nn", vec![]),
        ("mieze ä", vec![&cat.user_id]),
        ("MIEZE", vec![&cat.user_id]),
        ("éLODIE å", vec![&ann.user_id]),
        ("ROB", vec![&bob.user_id]),
        ("c", vec![&cat.user_id]),
        ("", vec![&ann.user_id, &bob.user_id, &cat.user_id]),
    ] {
        let page = search(&ann, q).await.ok();
        assert_eq!(ids(&page), found, "{q}");
        assert_eq!(page["total"], found.len(), "{q}");
    }
}

#[tokio::test]
async fn q_finds_names_and_usernames_however_they_are_written_and_by_each_word() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "name": "ΣΊΣΥΦΟΣ Straße"})).await;
    let bob = app.register(json!({"userId": "bob", "name": "Zoë  van\u{3000}Dyk"})).await;
    let cat = app.register(json!({"userId": "cat", "name": "کار\u{200c}ها"})).await;
    app.organization(&[&ann, &bob, &cat]).await;
    let username = format!("Ｆｕｌｌ Width {}", cat.user_id);
    cat.patch("/api/profile", json!({"username": username})).await.ok();
    for (q, found) in [
        ("σίσυφος", vec![&ann]),
        ("ΣΊΣΥΦΟ", vec![&ann]),
        ("strasse", vec![&ann]),
        ("STRA", vec![&ann]),
        ("zoe\u{308}", vec![&bob]),
        ("ZOË", vec![&bob]),
        ("zoë van", vec![&bob]),
        ("zoë  van  d", vec![&bob]),
        ("van dyk", vec![&bob]),
        ("ＤＹＫ", vec![&bob]),
        ("Zoë ", vec![&bob]),
        ("yk", vec![]),
        ("کارها", vec![&cat]),
        ("full width", vec![&cat]),
        ("ＦＵＬＬ", vec![&cat]),
    ] {
        let page = search(&ann, q).await.ok();
        let expected: Vec<_> = found.iter().map(|person| &person.user_id).collect();
        assert_eq!(ids(&page), expected, "{q}");
    }
    bob.patch("/api/profile", json!({"name": "Robert"})).await.ok();
    assert_eq!(ids(&search(&ann, "zoë").await.ok()), Vec::<&str>::new());
    assert_eq!(ids(&search(&ann, "rob").await.ok()), [&bob.user_id]);
}

#[tokio::test]
async fn a_search_is_paged_like_the_list() {
    let app = TestApp::start().await;
    let (ann, bob, cat) = (app.user("ann").await, app.user("bob").await, app.user("cat").await);
    app.organization(&[&ann, &bob, &cat]).await;
    for person in [&ann, &bob, &cat] {
        // Two words that match are one user.
        person.patch("/api/profile", json!({"name": "Smith Smithson"})).await.ok();
    }
    for (number, found) in [(1, vec![&ann, &bob]), (2, vec![&cat]), (3, vec![]), (u64::MAX, vec![])] {
        let page = ann.get(&format!("/users?q=smith&pageSize=2&page={number}")).await.ok();
        let expected: Vec<_> = found.iter().map(|person| person.user_id.as_str()).collect();
        assert_eq!(
            (ids(&page), &page["total"], &page["pages"]),
            (expected, &json!(3), &json!(2)),
            "{number}"
        );
        assert_eq!(page["currentPage"], number);
    }
    let nobody = ann.get("/users?q=smythe").await.ok();
    assert_eq!((ids(&nobody), &nobody["total"], &nobody["pages"]), (vec![], &json!(0), &json!(0)));
}

/// An older version of the service knows no keys, and may run beside this one for a while.
#[tokio::test]
async fn people_whom_an_older_version_stored_are_found_after_migrating_and_after_the_sweep() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let finds = async |q: &str| ids(&search(&ann, q).await.ok()).len();
    let insert = "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
                  VALUES (?, 1, ?, '', 'user', FALSE, NOW())";
    app.run(insert, ("old1", "Zoë Old")).await;
    app.run(insert, ("old2", "Yannick Old")).await;
    assert_eq!(finds("old").await, 2, "by their userIds");
    assert_eq!((finds("zoë").await, finds("yannick").await), (0, 0));
    app.invoke("migrate", json!({})).await.unwrap();
    assert_eq!((finds("zoë").await, finds("yannick").await), (1, 1));
    app.run("UPDATE users SET name = 'Xaver' WHERE user_id = 'old1'", ()).await;
    app.invoke("sweep", json!({})).await.unwrap();
    assert_eq!((finds("zoë").await, finds("xaver").await, finds("yannick").await), (0, 1, 1));
}

#[tokio::test]
async fn a_search_reads_a_bounded_number_of_rows_however_many_users_there_are() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    app.run(
        "INSERT INTO users (user_id, organization_id, username, username_key, name, password_hash, role, prime, created_at)
         WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 1000)
         SELECT CONCAT('many', a.n, '-', b.n), u.organization_id, CONCAT('many ', a.n, '-', b.n),
                CONCAT('many ', a.n, '-', b.n), CONCAT('Many ', b.n), '', 'user', FALSE, u.created_at
         FROM many a JOIN many b JOIN users u WHERE a.n <= 20 AND u.user_id = ?",
        (&ann.user_id,),
    )
    .await;
    app.run(
        "INSERT INTO name_keys (organization_id, name_key, user_id)
         SELECT organization_id, LOWER(name), user_id FROM users WHERE name LIKE 'Many%'",
        (),
    )
    .await;
    app.run("ANALYZE TABLE users, name_keys", ()).await;
    let asker = app.user_behind(&ann).await;
    for (q, most_read) in [("many", 15_000), ("zzzz", 100), ("many 7-77", 200)] {
        let search =
            Search { page: Page { number: 2, size: 10 }, prefix: Some(q.to_owned().try_into().unwrap()) };
        let work = app
            .work(async |db| {
                let found = profiles::list(db, &asker, &search).await.unwrap();
                assert!(found.total <= 1500, "{q}: {}", found.total);
            })
            .await;
        assert!(work.read < most_read, "{q}: {work:?}");
    }
}

#[tokio::test]
async fn wildcards_in_q_match_only_themselves() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "name": "100% Ann"})).await;
    let bob = app.register(json!({"userId": "a_b", "name": "!Bob\\"})).await;
    app.organization(&[&ann, &bob]).await;
    for (q, found) in [
        ("%", vec![]),
        ("_", vec![]),
        ("a_", vec![&bob.user_id]),
        ("100%", vec![&ann.user_id]),
        ("1%", vec![]),
        ("!", vec![&bob.user_id]),
        ("!Bob\\", vec![&bob.user_id]),
        ("\\", vec![]),
        ("'", vec![]),
    ] {
        assert_eq!(ids(&search(&ann, q).await.ok()), found, "{q}");
    }
}

#[tokio::test]
async fn all_invalid_parameters_are_reported_together() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let wrong = ann.get("/users?page=0&pageSize=101&q=%00").await;
    assert_eq!(wrong.wrong_fields(), ["page", "pageSize", "q"]);
}

#[tokio::test]
async fn a_page_reads_and_sorts_only_its_own_rows_besides_counting_all_users() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let page = Page { number: 2, size: 10 };
    app.run(
        "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
         WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 1000)
         SELECT CONCAT('many', n), u.organization_id, 'One of many', '', 'user', FALSE, u.created_at
         FROM many JOIN users u WHERE u.user_id = ?",
        (&ann.user_id,),
    )
    .await;
    app.run("ANALYZE TABLE users", ()).await;
    let asker = app.user_behind(&ann).await;
    let work = app
        .work(async |db| {
            let listed = profiles::list(db, &asker, &Search { page, prefix: None }).await.unwrap();
            assert_eq!((listed.total, listed.data.len()), (1001, 10));
        })
        .await;
    // All users are counted, but only those of the page are read.
    assert!(work.read < 1001 + 200, "{work:?}");
    assert!(work.sorted <= 10, "{work:?}");
}
