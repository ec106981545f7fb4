//! The API reference for people (`GET /docs`).

use std::collections::BTreeSet;

use reqwest::Response;
use reqwest::header::CONTENT_SECURITY_POLICY;
use serde_json::Value;

use crate::harness::{TestApp, document, paths_and_methods};

async fn read(app: &TestApp, path: &str) -> Response {
    let response = app.http.get(format!("{}{path}", app.url)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response
}

/// What stands in quotes after each `before`.
fn quoted<'a>(page: &'a str, before: &str) -> Vec<&'a str> {
    page.split(before).skip(1).map(|rest| rest.split_once('"').unwrap().0).collect()
}

#[tokio::test]
async fn the_reference_has_every_operation_every_event_and_every_schema_and_its_links_lead_somewhere() {
    let app = TestApp::start().await;
    let page = read(&app, "/docs").await.text().await.unwrap();
    let listed = quoted(&page, " id=\"");
    let ids: BTreeSet<_> = listed.iter().copied().collect();
    assert_eq!(ids.len(), listed.len(), "an id twice");
    let names =
        |document: &'static Value, part: &str| document["components"][part].as_object().unwrap().keys();
    let (openapi, asyncapi) = (document("openapi"), document("asyncapi"));
    for name in names(openapi, "schemas").chain(names(asyncapi, "schemas")) {
        assert!(ids.contains(name.as_str()), "{name}");
    }
    for name in names(asyncapi, "messages") {
        assert!(ids.contains(format!("event-{name}").as_str()), "{name}");
    }
    for (path, method) in paths_and_methods() {
        let id = openapi["paths"][path][method.to_lowercase()]["operationId"].as_str().unwrap();
        assert!(ids.contains(id), "{id}");
    }
    for link in quoted(&page, "href=\"#") {
        assert!(ids.contains(link), "#{link} leads nowhere");
    }
}

#[tokio::test]
async fn the_reference_needs_no_script_and_nothing_of_another_host() {
    let app = TestApp::start().await;
    let response = read(&app, "/docs").await;
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    let page = response.text().await.unwrap();
    for foreign in ["<script", "<style", " style=", " src=", " onclick="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Relative, so that it also works below a path.
    assert_eq!(quoted(&page, "rel=\"stylesheet\" href=\""), ["docs/style.css"]);
    let style = read(&app, "/docs/style.css").await;
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
    assert!(!style.text().await.unwrap().contains("url("));
}

#[tokio::test]
async fn the_documents_can_be_downloaded() {
    let app = TestApp::start().await;
    for (path, document) in [
        ("/docs/openapi.yaml", include_str!("../docs/openapi.yaml")),
        ("/docs/asyncapi.yaml", include_str!("../docs/asyncapi.yaml")),
    ] {
        let response = read(&app, path).await;
        assert_eq!(response.headers()["content-type"], "application/yaml");
        assert_eq!(response.text().await.unwrap(), document);
    }
}
