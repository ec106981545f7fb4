//! The template is the one list of functions and routes. The code, the documents and the README agree with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gateway::template::{BUILT_IN, Template};
use serde_json::Value;
use shared::base::jobs::Queue;
use shared::config::Config;
use shared::events::client_event::ClientEvent;
use shared::events::event::Event;

use crate::harness::{document, message_of, paths_and_methods};

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

/// The rights to files of each function that uses them: the action and the objects.
const RIGHTS_TO_FILES: [(&str, &[(&str, &str)]); 12] = [
    ("upload", &[("s3:PutObject", "/files/*")]),
    ("create-upload", &[("s3:PutObject", "/incoming/*")]),
    ("complete-upload", RIGHTS_TO_COMPLETE),
    ("message", RIGHTS_TO_COMPLETE),
    ("get-upload", &[("s3:GetObject", "/files/*")]),
    ("get-upload-urls", &[("s3:GetObject", "/files/*")]),
    ("get-avatar", &[("s3:GetObject", "/avatars/*"), ("s3:ListBucket", "")]),
    ("set-avatar", &[("s3:DeleteObject", "/avatars/*"), ("s3:PutObject", "/avatars/*")]),
    ("set-room-avatar", &[("s3:DeleteObject", "/avatars/*"), ("s3:PutObject", "/avatars/*")]),
    ("remove-avatar", &[("s3:DeleteObject", "/avatars/*")]),
    ("remove-room-avatar", &[("s3:DeleteObject", "/avatars/*")]),
    ("sweep", &[("s3:DeleteObject", "/*"), ("s3:ListBucket", "")]),
];
const RIGHTS_TO_COMPLETE: &[(&str, &str)] = &[
    ("s3:DeleteObject", "/files/*"),
    ("s3:GetObject", "/files/*"),
    ("s3:GetObject", "/incoming/*"),
    ("s3:ListBucket", ""),
    ("s3:PutObject", "/files/*"),
];

/// The rights of each function by the template: its name, the action and the resource.
fn rights_of_functions() -> Vec<(String, String, String)> {
    let template: Value = serde_saphyr::from_str(BUILT_IN).unwrap();
    let mut rights = Vec::new();
    for function in template["Resources"].as_object().unwrap().values() {
        if function["Type"] != "AWS::Serverless::Function" {
            continue;
        }
        let name = function["Properties"]["CodeUri"].as_str().unwrap().trim_end_matches('/');
        let name = name.rsplit('/').next().unwrap();
        let policies = function["Properties"]["Policies"].as_array().into_iter().flatten();
        // A policy that functions share is a resource of its own. It may depend on a condition: `[condition, policy, …]`.
        let documents = policies.map(|policy| match policy[1].as_str().or(policy.as_str()) {
            Some(shared) => &template["Resources"][shared]["Properties"]["PolicyDocument"],
            None => policy,
        });
        for statement in documents.flat_map(|document| document["Statement"].as_array().unwrap()) {
            // The database's depends on a condition.
            if statement["Effect"].is_null() {
                continue;
            }
            assert_eq!(statement["Effect"], "Allow");
            let actions = match &statement["Action"] {
                Value::Array(actions) => actions.iter().map(|action| action.as_str().unwrap()).collect(),
                action => vec![action.as_str().unwrap()],
            };
            // The secrets' depend on a condition.
            let Some(resource) = statement["Resource"].as_str() else { continue };
            rights.extend(
                actions.into_iter().map(|action| (name.to_owned(), action.to_owned(), resource.to_owned())),
            );
        }
    }
    rights
}

#[test]
fn functions_have_exactly_the_rights_to_files_that_they_need() {
    let template: Value = serde_saphyr::from_str(BUILT_IN).unwrap();
    assert!(template["Globals"]["Function"]["Environment"]["Variables"]["UPLOADS_BUCKET"].is_string());
    let mut rights = BTreeMap::new();
    for (name, action, resource) in rights_of_functions() {
        if action.starts_with("s3:") {
            let resource = resource.replace("${UploadsBucket.Arn}", "").replace("UploadsBucket.Arn", "");
            rights.entry(name).or_insert_with(BTreeSet::new).insert((action, resource));
        }
    }
    let owned = |rights: &[(&str, &str)]| {
        rights.iter().map(|&(action, files)| (action.to_owned(), files.to_owned())).collect::<BTreeSet<_>>()
    };
    let expected: BTreeMap<_, _> =
        RIGHTS_TO_FILES.iter().map(|&(name, rights)| (name.to_owned(), owned(rights))).collect();
    assert_eq!(rights, expected);
}

/// Every function that may push may also leave the posts to `fan-out`. Those that open and close sockets may leave one to
/// `presence`, which may leave it to itself.
#[test]
fn functions_have_exactly_the_rights_to_queues_that_they_need() {
    let leave_sockets = ["connect", "disconnect", "presence"];
    let mut expected =
        BTreeSet::from(leave_sockets.map(|name| (name.to_owned(), "PresenceQueue.Arn".to_owned())));
    let mut rights = BTreeSet::new();
    for (name, action, resource) in rights_of_functions() {
        match action.as_str() {
            "execute-api:ManageConnections" if name != "fan-out" => {
                expected.insert((name, "FanOutQueue.Arn".to_owned()));
            }
            "sqs:SendMessage" => _ = rights.insert((name, resource)),
            _ => {}
        }
    }
    assert!(expected.len() > 10);
    assert_eq!(rights, expected);
}

#[test]
fn the_functions_know_the_queues_of_the_template_and_the_delay_of_presence() {
    let template = Template::parse(BUILT_IN).unwrap();
    let sources =
        template.event_sources.iter().map(|source| (source.queue.as_str(), source.function.as_str()));
    let expected = [("FanOutQueue", "fan-out"), ("PresenceQueue", "presence")];
    assert_eq!(sources.collect::<BTreeSet<_>>(), expected.into());
    assert_eq!(Queue::ALL.map(Queue::name), expected.map(|(queue, _)| queue));
    let yaml: Value = serde_saphyr::from_str(BUILT_IN).unwrap();
    let variables = &yaml["Globals"]["Function"]["Environment"]["Variables"];
    for queue in Queue::ALL {
        assert_eq!(variables[queue.setting()], queue.name());
    }
    let secret = "s".repeat(32);
    let settings =
        [("DATABASE_URL", "mysql://u@127.0.0.1/none"), ("JWT_SECRET", &secret), ("REFRESH_SECRET", &secret)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(template.queues["PresenceQueue"].delay, Config::from(settings).unwrap().presence_hold);
}

#[test]
fn the_openapi_document_describes_exactly_the_routes() {
    let template = Template::parse(BUILT_IN).unwrap();
    let routes: BTreeSet<_> =
        template.http.iter().map(|route| (route.path.as_str(), route.method.clone())).collect();
    assert_eq!(routes, paths_and_methods().into_iter().collect());
}

/// The operations of the OpenAPI document: each with its path and its method, like `GET`.
fn operations() -> Vec<(&'static str, String, &'static Value)> {
    let paths = &document("openapi")["paths"];
    let operation = |(path, method): (&'static str, String)| {
        let operation = &paths[path][method.to_lowercase()];
        (path, method, operation)
    };
    paths_and_methods().into_iter().map(operation).collect()
}

#[test]
fn each_operation_has_an_id_of_its_own_and_names_the_function_of_its_route() {
    let routes = Template::parse(BUILT_IN).unwrap().http;
    let functions: BTreeMap<_, _> =
        routes.iter().map(|route| ((route.path.as_str(), route.method.clone()), &route.function)).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "two operations are {id}");
        assert_eq!(operation["x-function"], *functions[&(path, method)].as_str(), "{id}");
    }
}

#[test]
fn each_error_code_of_an_operation_has_an_example() {
    let openapi = document("openapi");
    let examples = &openapi["components"]["examples"];
    let mut codes = 0;
    let mut check = |response: &Value| {
        for code in response["x-codes"].as_array().into_iter().flatten().map(|code| code.as_str().unwrap()) {
            codes += 1;
            let example = &response["content"]["application/problem+json"]["examples"][code]["$ref"];
            assert_eq!(*example, format!("#/components/examples/{code}"), "{}", response["description"]);
            assert_eq!(examples[code]["value"]["code"], code);
        }
    };
    let responses = operations().into_iter().flat_map(|(.., operation)| operation["responses"].as_object());
    responses.flat_map(|responses| responses.values()).for_each(&mut check);
    openapi["components"]["responses"].as_object().unwrap().values().for_each(&mut check);
    assert!(codes > 100);
}

#[test]
fn the_postman_collection_has_every_operation() {
    let collection: Value =
        serde_json::from_str(include_str!("../docs/postman/coterie.postman_collection.json")).unwrap();
    let folders = collection["item"].as_array().unwrap().iter();
    let requests = folders.flat_map(|folder| folder["item"].as_array().unwrap()).map(|item| &item["request"]);
    // Postman writes a parameter of the path as `:roomId`.
    let path = |request: &Value| {
        let parts = request["url"]["path"].as_array()?.iter().map(|part| part.as_str().unwrap());
        let parts =
            parts.map(|part| part.strip_prefix(':').map_or(part.to_owned(), |name| format!("{{{name}}}")));
        Some(format!("/{}", parts.collect::<Vec<_>>().join("/")))
    };
    let requests: BTreeSet<_> = requests
        .filter_map(|request| Some((path(request)?, request["method"].as_str().unwrap().to_owned())))
        .collect();
    let operations =
        paths_and_methods().into_iter().map(|(path, method)| (path.to_owned(), method)).collect();
    assert_eq!(requests, operations);
}

#[test]
fn the_contract_lists_every_route() {
    let contract = include_str!("../docs/contract.md");
    for route in Template::parse(BUILT_IN).unwrap().http {
        assert!(contract.contains(&format!("`{}`", route.path)), "{} {}", route.method, route.path);
    }
}

#[test]
fn the_asyncapi_document_describes_exactly_the_events() {
    let client_events = ClientEvent::ALL.iter().map(|event| event.name());
    let pushes = Event::NAMES.iter().copied().chain(["ack", "error", "pong", "sync"]).map(message_of);
    // The frame that API Gateway itself sends.
    let expected: BTreeSet<_> = client_events.chain(pushes).chain(["gatewayError"]).collect();
    let messages = document("asyncapi")["components"]["messages"].as_object().unwrap();
    assert_eq!(messages.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_readme_shows_the_example_session_of_the_scripts() {
    let session = include_str!("../scripts/session").split_once("# ---\n").unwrap().1;
    assert!(include_str!("../README.md").contains(session));
}
