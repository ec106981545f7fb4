//! A refresh token in a cookie, and requests that other pages forge: docs/contract.md, "A refresh token in a cookie".

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

const PAGE: &str = "https://chat.example";
const NAME: &str = "__Secure-refreshToken";

/// A server that lets the pages of one origin keep cookies.
async fn server() -> TestApp {
    TestApp::with(&[("ALLOWED_ORIGINS", "https://chat.example, http://localhost:5173")]).await
}

/// A request of a page: what its browser adds, and its body.
struct Page<'a> {
    origin: Option<&'a str>,
    content_type: Option<&'a str>,
    cookie: String,
    access_token: Option<&'a str>,
}

impl Page<'_> {
    async fn posts(&self, app: &TestApp, path: &str, body: &Value) -> Answer {
        let mut request = app.http.post(format!("{}{path}", app.url)).body(body.to_string());
        let headers = [("origin", self.origin), ("content-type", self.content_type)];
        for (name, value) in headers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            request = request.header(name, value);
        }
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        if let Some(token) = self.access_token {
            request = request.bearer_auth(token);
        }
        Answer::of(request, "POST", path, None).await
    }
}

/// The page that keeps this cookie.
fn own(cookie: &str) -> Page<'static> {
    let cookie = cookie.to_owned();
    Page { origin: Some(PAGE), content_type: Some("application/json"), cookie, access_token: None }
}

/// The cookie that an answer sets, as `name=value`, which is `None` when the answer clears it.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let all: Vec<_> = headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let [cookie] = all[..] else { panic!("one cookie, not {all:?}") };
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    let seconds = if pair == format!("{NAME}=") { 0 } else { 7 * 24 * 60 * 60 };
    assert_eq!(attributes, format!("Max-Age={seconds}; Path=/api/auth; HttpOnly; Secure; SameSite=Strict"));
    assert!(pair.starts_with(&format!("{NAME}=")), "{cookie}");
    (seconds > 0).then(|| pair.to_owned())
}

fn credentials() -> Value {
    json!({"userId": "ann", "password": "correct horse", "session": "cookie"})
}

/// Signs Ann in, whose cookie and access token are returned.
async fn signed_in(app: &TestApp) -> (String, String) {
    let answer = own("").posts(app, "/api/auth/login", &credentials()).await;
    let cookie = cookie(&answer.headers).unwrap();
    (cookie, answer.ok()["accessToken"].as_str().unwrap().to_owned())
}

async fn refreshes(app: &TestApp, cookie: &str) -> Answer {
    own(cookie).posts(app, "/api/auth/refresh-token", &json!({})).await
}

#[tokio::test]
async fn a_browser_keeps_the_refresh_token_and_no_body_has_it() {
    let app = server().await;
    let registered = own("").posts(&app, "/api/auth/register", &credentials()).await;
    assert!(cookie(&registered.headers).is_some());
    assert_eq!(registered.created()["refreshToken"], Value::Null);
    for path in ["/api/auth/login", "/auth/login", "/api/login"] {
        let answer = own("").posts(&app, path, &credentials()).await;
        let mut kept = cookie(&answer.headers).unwrap();
        assert_eq!(answer.ok()["refreshToken"], Value::Null, "{path}");
        for _ in 0..2 {
            let answer = refreshes(&app, &kept).await;
            let successor = cookie(&answer.headers).unwrap();
            assert_ne!(successor, kept);
            kept = successor;
            let tokens = answer.ok();
            assert_eq!(tokens["refreshToken"], Value::Null, "{path}");
            let ticket = Page { access_token: tokens["accessToken"].as_str(), ..own("") };
            ticket.posts(&app, "/api/ws-ticket", &json!({})).await.created();
        }
        // Beside other cookies, and without a body.
        let others = format!("theme=dark; {kept}; a=b");
        let last =
            Page { cookie: others, ..own("") }.posts(&app, "/api/auth/refresh-token", &json!({})).await;
        assert!(cookie(&last.headers).is_some());
        last.ok();
    }
}

#[tokio::test]
async fn a_logout_by_the_cookie_or_by_the_access_token_clears_the_cookie() {
    let app = server().await;
    own("").posts(&app, "/api/auth/register", &credentials()).await.created();
    for with_token in [false, true] {
        let (kept, token) = signed_in(&app).await;
        let page = Page { access_token: with_token.then_some(token.as_str()), ..own(&kept) };
        let answer = page.posts(&app, "/api/auth/logout", &json!({})).await;
        assert_eq!(cookie(&answer.headers), None);
        answer.no_content();
        let ended = Page { access_token: Some(&token), ..own("") };
        ended.posts(&app, "/api/ws-ticket", &json!({})).await.refused(401, "unauthenticated");
        for path in ["/api/auth/refresh-token", "/api/auth/logout"] {
            let answer = own(&kept).posts(&app, path, &json!({})).await;
            assert_eq!(cookie(&answer.headers), None, "{path}");
            answer.refused(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_logout_leaves_the_cookie_of_another_session_alone() {
    let app = server().await;
    own("").posts(&app, "/api/auth/register", &credentials()).await.created();
    // Another tab signs in later, and the browser keeps its cookie.
    let ((_, token), (kept, _)) = (signed_in(&app).await, signed_in(&app).await);
    let page = Page { access_token: Some(&token), ..own(&kept) };
    let answer = page.posts(&app, "/api/auth/logout", &json!({})).await;
    assert!(!answer.headers.contains_key("set-cookie"));
    answer.no_content();
    refreshes(&app, &kept).await.ok();
    // One that ends both clears it.
    let (kept, token) = signed_in(&app).await;
    let page = Page { access_token: Some(&token), ..own(&kept) };
    let answer = page.posts(&app, "/api/auth/logout", &json!({"everywhere": true})).await;
    assert_eq!(cookie(&answer.headers), None);
}

#[tokio::test]
async fn a_cookie_that_is_used_twice_ends_its_session_and_is_cleared() {
    let app = server().await;
    own("").posts(&app, "/api/auth/register", &credentials()).await.created();
    let (first, _) = signed_in(&app).await;
    let second = cookie(&refreshes(&app, &first).await.headers).unwrap();
    // Two tabs at once.
    assert_eq!(cookie(&refreshes(&app, &first).await.headers).unwrap(), second);
    app.run("UPDATE refresh_tokens SET rotated_at = rotated_at - INTERVAL 31 SECOND", ()).await;
    for used in [&first, &second] {
        let answer = refreshes(&app, used).await;
        assert_eq!(cookie(&answer.headers), None);
        answer.refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_request_that_another_page_forges_does_nothing() {
    let app = server().await;
    own("").posts(&app, "/api/auth/register", &credentials()).await.created();
    let (kept, token) = signed_in(&app).await;
    let mut ann = app.user("bob").await;
    ann.access_token = token;
    let sessions = ann.get("/api/auth/sessions").await.ok();
    let foreign = [
        None,
        Some("null"),
        Some(""),
        Some("https://evil.example"),
        Some("http://chat.example"),
        Some("https://chat.example:8443"),
        Some("https://chat.example.evil.example"),
        Some("https://sub.chat.example"),
        Some("HTTPS://CHAT.EXAMPLE"),
        Some("https://chat.example, http://localhost:5173"),
    ];
    let paths = [
        "/api/auth/refresh-token",
        "/api/auth/logout",
        "/api/auth/login",
        "/auth/login",
        "/api/auth/register",
    ];
    for path in paths {
        let body = if path.contains("log") || path.contains("reg") { credentials() } else { json!({}) };
        for origin in foreign {
            let forged = Page { origin, ..own(&kept) };
            let answer = forged.posts(&app, path, &body).await;
            assert_eq!(answer.headers.get("set-cookie"), None, "{path} from {origin:?}");
            answer.refused(403, "origin_not_allowed");
        }
        // What a form can send.
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("text/plain; x=application/json"),
        ] {
            let forged = Page { content_type, ..own(&kept) };
            let answer = forged.posts(&app, path, &body).await;
            assert_eq!(answer.headers.get("set-cookie"), None, "{path} with {content_type:?}");
            assert_eq!(answer.wrong_fields(), ["body"]);
        }
    }
    // Nothing has happened: the session lives, and its token is unused.
    assert_eq!(ann.get("/api/auth/sessions").await.ok(), sessions);
    refreshes(&app, &kept).await.ok();
}

#[tokio::test]
async fn the_cookie_is_read_below_its_path_alone_and_a_token_in_the_body_comes_before_it() {
    let app = server().await;
    own("").posts(&app, "/api/auth/register", &credentials()).await.created();
    let (kept, _) = signed_in(&app).await;
    for path in ["/auth/refresh-token", "/refresh-token"] {
        let answer = own(&kept).posts(&app, path, &json!({})).await;
        assert_eq!(answer.wrong_fields(), ["refreshToken"], "{path}");
    }
    own(&kept).posts(&app, "/api/ws-ticket", &json!({})).await.refused(401, "unauthenticated");
    // Another site below the same domain can add a cookie, and the browser does not say whose is whose.
    for cookies in [
        format!("{kept}; {kept}"),
        format!("{NAME}=theirs; {kept}"),
        format!("{NAME}="),
        "other=1".to_owned(),
    ] {
        let answer = own(&cookies).posts(&app, "/api/auth/refresh-token", &json!({})).await;
        assert_eq!(answer.wrong_fields(), ["refreshToken"], "{cookies}");
    }
    // A client with a token of its own needs no origin, and gets no cookie.
    let bob = app.user("bob").await;
    let page = Page { origin: None, ..own(&kept) };
    let answer =
        page.posts(&app, "/api/auth/refresh-token", &json!({"refreshToken": bob.refresh_token})).await;
    assert_eq!(answer.headers.get("set-cookie"), None);
    assert!(answer.ok()["refreshToken"].is_string());
    refreshes(&app, &kept).await.ok();
}

#[tokio::test]
async fn without_allowed_origins_nobody_gets_a_cookie() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let login = json!({"userId": ann.user_id, "password": "correct horse", "session": "cookie"});
    for path in ["/api/auth/login", "/api/auth/register"] {
        own("").posts(&app, path, &login).await.refused(403, "origin_not_allowed");
    }
    let cookie = format!("{NAME}={}", ann.refresh_token);
    refreshes(&app, &cookie).await.refused(403, "origin_not_allowed");
    own(&cookie).posts(&app, "/api/auth/logout", &json!({})).await.refused(403, "origin_not_allowed");
    ann.post("/api/auth/refresh-token", json!({"refreshToken": ann.refresh_token})).await.ok();
}

#[tokio::test]
async fn allowed_origins_get_cors_with_credentials_and_others_none() {
    let app = server().await;
    let cors = async |origin: &str| {
        let url = format!("{}/api/auth/refresh-token", app.url);
        let preflight = app.http.request(reqwest::Method::OPTIONS, url).header("origin", origin);
        let preflight = preflight.header("access-control-request-method", "POST").send().await.unwrap();
        let health =
            app.http.get(format!("{}/health", app.url)).header("origin", origin).send().await.unwrap();
        [preflight, health].map(|response| {
            ["access-control-allow-origin", "access-control-allow-credentials"]
                .map(|name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()))
        })
    };
    for origin in [PAGE, "http://localhost:5173"] {
        let granted = [Some(origin.to_owned()), Some("true".to_owned())];
        assert_eq!(cors(origin).await, [granted.clone(), granted]);
    }
    for origin in ["https://evil.example", "null", "*"] {
        assert_eq!(cors(origin).await, [[None, None], [None, None]], "{origin}");
    }
}
