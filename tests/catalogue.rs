//! The template is the one list of routes: what it names exists, and what exists it names.

use std::collections::BTreeSet;
use std::path::Path;

use gateway::template::{BUILT_IN, Template};
use shared::events::Event;

use crate::harness::{TestApp, document, message_of, paths_and_methods};
use crate::tables::events;

#[test]
fn the_catalogue_the_template_and_the_binaries_name_the_same_functions() {
    let catalogue: BTreeSet<String> = functions::catalogue().into_keys().map(str::to_owned).collect();
    let template = Template::parse(BUILT_IN).unwrap();
    assert_eq!(template.timeouts.into_keys().collect::<BTreeSet<_>>(), catalogue);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/src/bin");
    let binaries = std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
    let binaries: BTreeSet<String> =
        binaries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(binaries, catalogue);
}

#[test]
fn every_route_is_documented_and_nothing_else() {
    let template = Template::parse(BUILT_IN).unwrap();
    let routes: BTreeSet<_> =
        template.http.iter().map(|route| (route.path.as_str(), route.method.clone())).collect();
    assert_eq!(routes, paths_and_methods().into_iter().collect());
}

#[test]
fn the_readme_lists_every_route() {
    let readme = include_str!("../README.md");
    for route in Template::parse(BUILT_IN).unwrap().http {
        assert!(readme.contains(&format!("`{}`", route.path)), "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn every_event_is_documented_and_nothing_else() {
    let app = TestApp::start().await;
    let taken = events(&mut app.user("ann").await.connect().await).await;
    let taken = taken.iter().map(String::as_str);
    let told = Event::NAMES.into_iter().chain(["ack", "error", "pong", "sync"]).map(message_of);
    // What API Gateway says for itself.
    let expected: BTreeSet<_> = taken.chain(told).chain(["gatewayError"]).collect();
    let messages = document("asyncapi")["components"]["messages"].as_object().unwrap();
    assert_eq!(messages.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_readme_shows_the_session_that_the_scripts_print_and_run() {
    let session = include_str!("../scripts/session").split_once("# ---\n").unwrap().1;
    assert!(include_str!("../README.md").contains(session));
}
