//! The template is the one list of routes: what it names exists, and what exists it names.

use std::collections::BTreeSet;
use std::path::Path;

use gateway::template::{BUILT_IN, Template};

use crate::harness::{document, paths_and_methods};

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

#[test]
fn every_event_is_documented() {
    let messages = document("asyncapi")["components"]["messages"].as_object().unwrap();
    for event in [
        "joinRoom",
        "leaveRoom",
        "sendMessage",
        "createGroup",
        "joinGroup",
        "groupMessage",
        "groupCreated",
        "addedToGroup",
        "editMessage",
        "deleteMessage",
        "messageEdited",
        "messageDeleted",
        "newChatRoom",
        "typing",
        "stopTyping",
        "reactMessage",
        "messageReaction",
        "readMessage",
        "sendFile",
        "ping",
        "roomDeleted",
        "messageRead",
        "userJoined",
        "userLeft",
        "receiveMessage",
        "receiveFile",
        "ack",
        "error",
        "pong",
    ] {
        assert!(messages.contains_key(event), "{event}");
    }
}

#[test]
fn the_readme_shows_the_session_that_the_scripts_print_and_run() {
    let session = include_str!("../scripts/session").split_once("# ---\n").unwrap().1;
    assert!(include_str!("../README.md").contains(session));
}
