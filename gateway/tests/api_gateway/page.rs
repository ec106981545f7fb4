//! The chat page, which is served where the template has no route.

use std::fs;
use std::path::{Path, PathBuf};

use axum::http::{Method, StatusCode};
use gateway::limits::GatewayLimits;
use gateway::page::Page;
use gateway::template::HttpRoute;
use reqwest::Response;

use crate::harness::{Behavior, TEMPLATE, TIMEOUT, TestGateway, template};

/// A folder with a page, which is removed when its test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("coterie_page_{:016x}", rand::random::<u64>()));
        fs::create_dir_all(folder.join("assets")).unwrap();
        for (name, text) in [
            ("index.html", "<title>Chat</title>"),
            ("favicon.svg", "<svg/>"),
            ("assets/page-1a2b.js", "start();"),
            ("assets/page-1a2b.js.map", "not a file of a page"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A gateway with the page, whose store of files is at `http://store.example`, and with a route at this path.
async fn gateway_with_page(folder: &Folder, path: &str) -> TestGateway {
    let mut template = template(TEMPLATE);
    let (method, path) = ("GET".to_owned(), path.to_owned());
    template.http.push(HttpRoute { method, path, function: "route".to_owned() });
    let page = Page::read(folder.path(), Some("http://store.example")).unwrap();
    let functions = [("route", Behavior::Return("the API".into()))];
    TestGateway::adjusted(template, functions, GatewayLimits::default(), |gateway| {
        gateway.with_page(Some(page))
    })
    .await
}

async fn send(gateway: &TestGateway, method: Method, path: &str, known: &str) -> Response {
    let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
    let request = http.request(method, gateway.http_url(path)).header("if-none-match", known);
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn files_come_with_their_types_and_only_assets_are_kept_for_good() {
    let folder = Folder::new();
    let gateway = gateway_with_page(&folder, "/route").await;
    for (path, media_type, kept, text) in [
        ("/", "text/html; charset=utf-8", "no-cache", "<title>Chat</title>"),
        ("/favicon.svg", "image/svg+xml", "no-cache", "<svg/>"),
        (
            "/assets/page-1a2b.js",
            "text/javascript; charset=utf-8",
            "public, max-age=31536000, immutable",
            "start();",
        ),
    ] {
        let response = send(&gateway, Method::GET, path, "").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, "content-type"), media_type);
        assert_eq!(header(&response, "cache-control"), kept);
        assert_eq!(response.text().await.unwrap(), text);
        let head = send(&gateway, Method::HEAD, path, "").await;
        assert_eq!((head.status(), header(&head, "content-type")), (StatusCode::OK, media_type));
        assert_eq!(header(&head, "content-length"), text.len().to_string());
    }
}

#[tokio::test]
async fn a_page_runs_nothing_inline_and_talks_to_the_api_and_the_store_alone() {
    let folder = Folder::new();
    let gateway = gateway_with_page(&folder, "/route").await;
    let response = send(&gateway, Method::GET, "/", "").await;
    let policy = header(&response, "content-security-policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self' http://store.example",
        "img-src 'self' blob: http://store.example",
        "frame-ancestors 'none'",
        "trusted-types 'none'",
    ] {
        assert!(policy.split("; ").any(|part| part == directive), "{directive}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(header(&response, "referrer-policy"), "no-referrer");
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let folder = Folder::new();
    let gateway = gateway_with_page(&folder, "/route").await;
    let first = send(&gateway, Method::GET, "/", "").await;
    let etag = header(&first, "etag").to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}")] {
        let again = send(&gateway, Method::GET, "/", &known).await;
        assert_eq!((again.status(), header(&again, "etag")), (StatusCode::NOT_MODIFIED, &*etag), "{known}");
        assert_eq!(again.text().await.unwrap(), "");
    }
    let other = send(&gateway, Method::GET, "/", "\"other\"").await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn whatever_is_no_file_of_the_page_stays_the_apis_404() {
    let folder = Folder::new();
    let gateway = gateway_with_page(&folder, "/route").await;
    for path in [
        "/other",
        "/index.html",
        "/assets",
        "/assets/",
        "/assets/other.js",
        "/assets/page-1a2b.js.map",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "//",
    ] {
        let expected = (404, r#"{"message":"Not Found"}"#.to_owned());
        assert_eq!(gateway.get_text(path).await, expected, "{path}");
    }
    let posted = send(&gateway, Method::POST, "/", "").await;
    assert_eq!(posted.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_route_of_the_api_comes_before_a_file_of_the_page() {
    let folder = Folder::new();
    let gateway = gateway_with_page(&folder, "/favicon.svg").await;
    assert_eq!(gateway.get_text("/favicon.svg").await, (200, "the API".to_owned()));
}

#[tokio::test]
async fn a_folder_without_a_page_is_refused() {
    let folder = Folder::new();
    fs::remove_file(folder.path().join("index.html")).unwrap();
    let refused = Page::read(folder.path(), None).unwrap_err();
    assert!(refused.contains("no index.html"), "{refused}");
    let missing = Page::read(&folder.path().join("other"), None).unwrap_err();
    assert!(missing.contains("cannot serve the page in"), "{missing}");
}
