use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

fn ids(page: &Value) -> Vec<u64> {
    page["data"].as_array().unwrap().iter().map(|channel| channel["id"].as_u64().unwrap()).collect()
}

/// The three rate limit headers, if the response has them.
fn standing(answer: &Answer) -> Option<[u64; 3]> {
    let number = |name: &str| answer.headers.get(name)?.to_str().ok()?.parse().ok();
    Some([number("ratelimit-limit")?, number("ratelimit-remaining")?, number("ratelimit-reset")?])
}

#[tokio::test]
async fn channels_are_listed_newest_first_in_pages_of_the_shape_of_seed_004() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let mut made = Vec::new();
    for number in 0..11 {
        made.push(ann.makes_a_channel(&format!("z {number}")).await);
    }
    made.reverse();
    let first = ann.get("/api/chat").await.ok();
    assert_eq!((&first["total"], &first["pages"], &first["currentPage"]), (&json!(11), &json!(2), &json!(1)));
    assert_eq!(ids(&first), made[..10]);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), ["total", "pages", "currentPage", "data"]);
    assert_eq!(names(&first["data"][0]), ["id", "name", "createdAt", "updatedAt", "organization_id"]);
    let own = ann.get("/api/profile/me").await.ok()["organization"]["id"].clone();
    assert_eq!((&first["data"][0]["name"], &first["data"][0]["organization_id"]), (&json!("z 10"), &own));

    let second = ann.get("/api/chat?page=2&pageSize=10").await.ok();
    assert_eq!(
        (&second["total"], &second["pages"], &second["currentPage"]),
        (&json!(11), &json!(2), &json!(2))
    );
    assert_eq!(ids(&second), made[10..]);
}

#[tokio::test]
async fn both_paths_list_the_channels() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    ann.makes_a_channel("General").await;
    assert_eq!(ann.get("/api").await.ok(), ann.get("/api/chat").await.ok());
    assert_eq!(ann.get("/api?page=1&pageSize=10").await.ok(), ann.get("/api/chat").await.ok());
}

#[tokio::test]
async fn of_channels_created_at_the_same_time_the_higher_id_comes_first() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(ann.makes_a_channel("z y").await);
    }
    let same_time = "UPDATE rooms SET created_at = '2025-01-07 18:30:24.566' WHERE created_by = ?";
    app.run(same_time, (&ann.user_id,)).await;
    app.run("UPDATE rooms SET created_at = '2025-01-08 11:35:04.618' WHERE id = ?", (made[1],)).await;
    let page = ann.get("/api/chat").await.ok();
    assert_eq!(ids(&page), [made[1], made[3], made[2], made[0]]);
    assert_eq!(page["data"][0]["createdAt"], "2025-01-08T11:35:04.618Z");
}

#[tokio::test]
async fn members_and_non_members_see_all_channels_and_only_channels() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    ann.opens_a_room().await;
    let channel = ann.makes_a_channel("General").await;
    for person in [ann, bob] {
        assert_eq!(ids(&person.get("/api/chat").await.ok()), [channel]);
    }
}

#[tokio::test]
async fn an_empty_list_and_a_page_after_the_last_have_no_rows() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let empty = json!({"total": 0, "pages": 0, "currentPage": 1, "data": []});
    assert_eq!(ann.get("/api/chat").await.ok(), empty);
    ann.makes_a_channel("General").await;
    let after = json!({"total": 1, "pages": 1, "currentPage": 2, "data": []});
    assert_eq!(ann.get("/api/chat?page=2").await.ok(), after);
}

#[tokio::test]
async fn a_page_out_of_range_is_refused_and_its_fields_are_reported() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    for query in ["page=0&pageSize=0", "page=x&pageSize=101", "page=-1&pageSize="] {
        assert_eq!(
            ann.get(&format!("/api/chat?{query}")).await.wrong_fields(),
            ["page", "pageSize"],
            "{query}"
        );
    }
    ann.get("/api/chat?page=1&pageSize=100").await.ok();
}

#[tokio::test]
async fn the_list_is_limited_to_ten_requests_in_ten_minutes_and_every_response_says_so() {
    let app = TestApp::with(&[("CHAT_LIST_LIMIT", "")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    for left in (0..10).rev() {
        // Both paths share a limit, and refused requests count too.
        let path = ["/api/chat", "/api", "/api/chat?page=0"][left as usize % 3];
        let answer = ann.get(path).await;
        let [limit, remaining, reset] = standing(&answer).unwrap();
        assert_eq!((limit, remaining), (10, left), "{path}");
        assert!((595..=600).contains(&reset), "{reset}");
    }
    let refused = ann.get("/api/chat").await;
    let [limit, remaining, reset] = standing(&refused).unwrap();
    assert_eq!((limit, remaining), (10, 0));
    assert_eq!(refused.headers["retry-after"].to_str().unwrap(), reset.to_string());
    refused.refused(429, "rate_limited");
    ann.get("/api").await.refused(429, "rate_limited");
    // Each user has a limit of their own.
    assert_eq!(standing(&bob.get("/api/chat").await).unwrap()[1], 9);
    // A new window starts when the old one has ended.
    app.run("UPDATE rate_limits SET tally = tally - (600000 << 20) WHERE tally > 0", ()).await;
    assert_eq!(standing(&ann.get("/api/chat").await).unwrap()[1], 9);
}

#[tokio::test]
async fn a_500_response_has_the_rate_limit_headers_too() {
    let app = TestApp::with(&[("CHAT_LIST_LIMIT", "10/600")]).await;
    let ann = app.user("ann").await;
    app.run("RENAME TABLE rooms TO rooms_out_of_reach", ()).await;
    let answer = ann.get("/api/chat").await;
    assert_eq!(standing(&answer).map(|[limit, remaining, _]| (limit, remaining)), Some((10, 9)));
    let problem = answer.refused(500, "internal");
    assert!(!problem["requestId"].as_str().unwrap().is_empty(), "{problem}");
}

#[tokio::test]
async fn ten_of_twenty_concurrent_requests_are_within_the_limit() {
    let app = TestApp::with(&[("CHAT_LIST_LIMIT", "10/600")]).await;
    let ann = app.user("ann").await;
    let answers = futures_util::future::join_all((0..20).map(|_| ann.get("/api/chat"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 10);
}

#[tokio::test]
async fn a_limit_that_is_turned_off_has_no_headers() {
    let app = TestApp::with(&[("CHAT_LIST_LIMIT", "0")]).await;
    let ann = app.user("ann").await;
    for _ in 0..12 {
        let answer = ann.get("/api/chat").await;
        assert_eq!(standing(&answer), None);
        answer.ok();
    }
}
