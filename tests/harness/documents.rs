//! Checks responses and frames against the published documents.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::{Resource, Validator};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

static OPENAPI: LazyLock<Value> = LazyLock::new(|| read("openapi.yaml"));
static ASYNCAPI: LazyLock<Value> = LazyLock::new(|| read("asyncapi.yaml"));

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let document = std::fs::read_to_string(path).unwrap();
    // One document refers to schemas of the other by its name.
    serde_saphyr::from_str(&document.replace("./openapi.yaml#/", "urn:openapi#/")).unwrap()
}

/// `openapi` or `asyncapi`, as JSON.
pub fn document(name: &str) -> &'static Value {
    if name == "openapi" { &OPENAPI } else { &ASYNCAPI }
}

/// Every documented path and method, like `("/health", "GET")`.
pub fn paths_and_methods() -> Vec<(&'static str, String)> {
    let paths = OPENAPI["paths"].as_object().unwrap();
    let methods =
        |path| resolved(path).as_object().unwrap().keys().filter(|key| HTTP_METHODS.contains(&key.as_str()));
    paths
        .iter()
        .flat_map(|(path, item)| methods(item).map(|method| (path.as_str(), method.to_uppercase())))
        .collect()
}

const HTTP_METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The target of a local `$ref`, or the value itself.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => OPENAPI.pointer(reference.trim_start_matches('#')).expect(reference),
        None => value,
    }
}

/// Checks a response against the operation's schema for its status and content type. On a path or method that is not
/// documented it must be API Gateway's 404.
#[track_caller]
pub fn check_answer(method: &str, path: &str, status: u16, content_type: Option<&HeaderValue>, body: &Value) {
    let path = path.split('?').next().unwrap();
    let documented = OPENAPI["paths"].as_object().unwrap().iter();
    let operation = documented
        .filter(|(pattern, _)| matches(pattern, path))
        .map(|(_, item)| &resolved(item)[method.to_lowercase()])
        .find(|operation| !operation.is_null());
    let Some(operation) = operation else {
        assert_eq!((status, body), (404, &json!({"message": "Not Found"})), "{method} {path}");
        return;
    };
    let response = resolved(&operation["responses"][status.to_string()]);
    assert!(!response.is_null(), "{method} {path} returned {status}, which is not documented: {body}");
    // API Gateway may give an answer without a body a content type of its own.
    if body.is_null() {
        assert!(response["content"].is_null(), "{method} {path} {status} should have a body");
        return;
    }
    let content_type = content_type.unwrap_or_else(|| panic!("{method} {path} {status} has no content type"));
    let schema = &response["content"][content_type.to_str().unwrap()]["schema"];
    assert!(!schema.is_null(), "{method} {path} {status}: {content_type:?} is not documented");
    check("openapi", schema, body, &format!("{method} {path} {status}"));
}

/// The name of the documented message for an event that the server sends.
pub fn message_of(event: &str) -> &str {
    match event {
        // Clients send events with these names too, so the document has other names for the server's.
        "sync" => "changes",
        "newChatRoom" => "chatRoomAnnounced",
        "typing" => "memberTyping",
        "stopTyping" => "memberStoppedTyping",
        name => name,
    }
}

/// Checks a frame from the server against the message of its event.
#[track_caller]
pub fn check_frame(frame: &Value) {
    // The packet of Socket.IO, which has no other form.
    if frame["event"] == "DISCONNECT" {
        return;
    }
    let name = frame["event"].as_str().map_or("gatewayError", message_of);
    let schema = &ASYNCAPI["components"]["messages"][name]["payload"];
    assert!(!schema.is_null(), "the event {name} is not documented: {frame}");
    check("asyncapi", schema, frame, name);
}

/// Checks the body of a refused handshake against the schema of a problem.
#[track_caller]
pub fn check_refusal(problem: &Value) {
    check("asyncapi", &json!({"$ref": "#/components/schemas/Problem"}), problem, "a refused handshake");
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    pattern.clone().count() == path.clone().count()
        && pattern.zip(path).all(|(pattern, path)| pattern.starts_with('{') || pattern == path)
}

#[track_caller]
fn check(document_name: &'static str, schema: &Value, value: &Value, what: &str) {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    // Makes references into the document absolute, so that a part of it can be used as a schema.
    let schema = schema.to_string().replace("\"#/", &format!("\"urn:{document_name}#/"));
    let validator = VALIDATORS.lock().unwrap().get(&schema).cloned().unwrap_or_else(|| {
        let mut registry = jsonschema::Registry::new();
        for name in ["openapi", "asyncapi"] {
            let resource = Resource::from_contents(document(name).clone());
            registry = registry.add(format!("urn:{name}"), resource).unwrap();
        }
        let registry = registry.prepare().unwrap();
        let validator = jsonschema::options()
            .with_registry(&registry)
            .build(&serde_json::from_str(&schema).unwrap())
            .unwrap();
        Arc::new(validator)
    });
    VALIDATORS.lock().unwrap().insert(schema, validator.clone());
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what} is not as documented:\n  {}\n{value:#}", errors.join("\n  "));
}
