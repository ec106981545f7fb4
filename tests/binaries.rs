//! Each Lambda binary on its own. It is started as Lambda starts it, takes a recorded event from a runtime
//! API on loopback and posts its response there.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use gateway::connections::Connections;
use gateway::invoke::Remote;
use gateway::limits::GatewayLimits;
use gateway::queues::Queues;
use gateway::sqs::queue_url;
use gateway::template::{BUILT_IN, Template};
use gateway::{Gateway, management};
use serde_json::{Value, json};
use shared::base::jobs::Queue;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::TestApp;

/// A recorded event, and the status of the response to it. The HTTP event is the example of payload format 2.0
/// in the Lambda documentation, with the body `{}` and no token; the others were captured from sockets.
fn expectation(function: &str) -> (&'static str, Value) {
    let http = include_str!("events/http.json");
    match function {
        "connect" => (include_str!("events/connect.json"), json!(401)),
        "disconnect" => (include_str!("events/disconnect.json"), json!(200)),
        "message" => (include_str!("events/message.json"), json!(200)),
        "health" | "docs" => (http, json!(200)),
        "register" | "login" | "refresh-token" => (http, json!(400)),
        // Anybody may ask, and there is no such avatar.
        "get-avatar" => (http, json!(404)),
        // Invoked by name: the response has no status.
        "migrate" | "sweep" => ("{}", Value::Null),
        "fan-out" => (include_str!("events/fan-out.json"), Value::Null),
        "presence" => (include_str!("events/presence.json"), Value::Null),
        "operator" => (r#"{"command": "make-admin", "userId": "ann"}"#, Value::Null),
        // Every other endpoint requires a token.
        _ => (http, json!(401)),
    }
}

#[tokio::test]
async fn every_binary_starts_and_responds_to_an_event() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let endpoint = nobody_connected().await;
    for function in functions::catalogue().into_keys() {
        let (event, status) = expectation(function);
        let (runtime, mut answers) = runtime_with(event).await;
        let _running = started(function, lambda(&app, function, &runtime, &endpoint));
        let (outcome, answer) = answer(function, &mut answers).await;
        assert_eq!((outcome.as_str(), &answer["statusCode"]), ("response", &status), "{function}: {answer}");
    }
}

#[tokio::test]
async fn a_server_error_is_logged_once_with_the_function_and_the_request_id() {
    let app = TestApp::start().await;
    let endpoint = nobody_connected().await;
    let http_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
    for (function, event, request_id) in [
        ("health", include_str!("events/http.json"), http_id),
        // For a socket it is the id that API Gateway gave the request, which the client sees.
        ("disconnect", include_str!("events/disconnect.json"), "TX0NwEXDDoEF_sA="),
        ("sweep", "{}", http_id),
    ] {
        let (runtime, mut answers) = runtime_with(event).await;
        let mut command = lambda(&app, function, &runtime, &endpoint);
        command.env("DATABASE_URL", "mysql://u@127.0.0.1:1/none").stdout(Stdio::piped());
        let mut running = started(function, command);
        answer(function, &mut answers).await;
        let mut stdout = running.0.stdout.take().unwrap();
        drop(running);
        let mut log = String::new();
        stdout.read_to_string(&mut log).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let failures: Vec<Value> =
            lines.filter(|line: &Value| line["message"] == "a request failed").collect();
        let [failure] = failures.as_slice() else { panic!("expected one failure in {log}") };
        assert_eq!(failure["code"], "database_unavailable", "{failure}");
        let span = json!({ "name": "request", "function": function, "request_id": request_id });
        assert_eq!(failure["span"], span, "{failure}");
    }
}

#[tokio::test]
async fn a_function_that_starts_while_the_database_is_silent_answers_503_in_six_seconds() {
    let app = TestApp::start().await;
    // The system takes connections for it, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (runtime, mut answers) = runtime_with(include_str!("events/http.json")).await;
    let mut command = lambda(&app, "health", &runtime, "http://127.0.0.1:1");
    command.env("DATABASE_URL", format!("mysql://u@{}/none", silent.local_addr().unwrap()));
    let began = Instant::now();
    let _running = started("health", command);
    let (_, answer) = answer("health", &mut answers).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!((&answer["statusCode"], &answer["headers"]["retry-after"]), (&json!(503), &json!("2")));
}

#[tokio::test]
async fn functions_in_processes_of_their_own_queue_jobs_for_each_other() {
    let app = Arc::new(TestApp::start().await);
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    ann.post("/api/friend-requests", json!({"userId": bob.user_id})).await.created();
    bob.post("/api/friend-requests", json!({"userId": ann.user_id})).await.created();
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();

    let mut template = Template::parse(BUILT_IN).unwrap();
    template.schedules.clear();
    template.queues.get_mut(Queue::Presence.name()).unwrap().delay = Duration::from_millis(50);
    let (connections, queues) = (Arc::new(Connections::default()), Arc::new(Queues::new(&template)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(management::serve(connections.clone(), queues.clone(), listener));
    let invoked = Arc::new(Mutex::new(BTreeSet::new()));
    let functions = Remote::new(&processes(app.clone(), endpoint, invoked.clone()).await).unwrap();
    let gateway = Gateway::new(template, Arc::new(functions), connections, queues, GatewayLimits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(gateway.unwrap().serve(listener, std::future::pending()));

    let (ann, bob) = (ann.at(&url), bob.at(&url));
    let mut bobs = bob.connect().await.hearing_presence();
    let mut anns = ann.connect().await;
    assert_eq!(bobs.receives("presence").await, json!({"userId": ann.user_id, "online": true}));
    // So many sockets make the audience a large one. They are gone, which only the posts find out.
    app.run(
        "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
         WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 200)
         SELECT CONCAT('gone', n, '='), user_id, session_id, UTC_TIMESTAMP(3) - INTERVAL 2 MINUTE,
                UTC_TIMESTAMP(3) + INTERVAL 1 HOUR FROM sessions, many WHERE user_id = ?",
        (&bob.user_id,),
    )
    .await;
    let sent = ann.says(room, "Hello").await.created();
    for socket in [&mut anns, &mut bobs] {
        assert_eq!(socket.receives("receiveMessage").await["message"], sent["message"]);
    }
    let open = "SELECT COUNT(*) FROM connections WHERE expires_at > UTC_TIMESTAMP(3)";
    app.until(2, open).await;
    anns.close().await;
    assert_eq!(bobs.receives("presence").await, json!({"userId": ann.user_id, "online": false}));
    // What a queue does not take is done without them.
    let expected = ["connect", "disconnect", "fan-out", "presence", "send-message"].map(str::to_owned);
    assert_eq!(*invoked.lock().unwrap(), expected.into());
}

/// Serves a Lambda Invoke endpoint that starts a function's binary for each event and notes its name. Returns the
/// endpoint's address.
async fn processes(
    app: Arc<TestApp>,
    management_endpoint: String,
    invoked: Arc<Mutex<BTreeSet<String>>>,
) -> String {
    let invoke = async move |Path(function): Path<String>, event: String| {
        invoked.lock().unwrap().insert(function.clone());
        let (runtime, mut answers) = runtime_with(&event).await;
        let _running = started(&function, lambda(&app, &function, &runtime, &management_endpoint));
        let (outcome, answer) = answer(&function, &mut answers).await;
        assert_eq!(outcome, "response", "{function}: {answer}");
        answer.to_string()
    };
    let router = Router::new().route("/2015-03-31/functions/{name}/invocations", post(invoke));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    endpoint
}

/// The binary of a function, with the settings that it has in Lambda.
pub fn lambda(app: &TestApp, function: &str, runtime: &str, management_endpoint: &str) -> Command {
    let mut command = Command::new(binary(function));
    command
        .env_clear()
        .envs(app.settings())
        .env("WS_MANAGEMENT_ENDPOINT", management_endpoint)
        .envs(Queue::ALL.map(|queue| (queue.setting(), queue_url(management_endpoint, queue))))
        .env("AWS_LAMBDA_RUNTIME_API", runtime)
        .env("AWS_LAMBDA_FUNCTION_NAME", function)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .envs([("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs(app.store_settings());
    command
}

pub fn started(function: &str, mut command: Command) -> Running {
    let child = command.spawn();
    Running(child.unwrap_or_else(|error| panic!("{function}: {error}; scripts/test builds the binaries")))
}

/// What a function posts to its runtime API.
pub async fn answer(
    function: &str,
    answers: &mut mpsc::UnboundedReceiver<(String, Value)>,
) -> (String, Value) {
    let posted = timeout(Duration::from_secs(20), answers.recv()).await;
    posted.unwrap_or_else(|_| panic!("{function} does not respond")).unwrap()
}

/// Runs `coterie operator …`: whether it succeeded, and what it printed.
fn operator(app: &TestApp, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary("coterie"))
        // A folder without a `.env`.
        .current_dir(std::env::temp_dir())
        .env_clear()
        .envs(app.settings())
        .arg("operator")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("coterie: {error}; scripts/test builds it"));
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn the_operator_commands_work_on_the_command_line() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for (arguments, done, said) in [
        (vec!["make-admin", "ann"], true, "ann is now an admin of the organization `public`\n"),
        (vec!["make-admin", "ann"], true, "ann was already an admin of the organization `public`\n"),
        (
            vec!["grant", "ann", "--coins", "300", "--prime", "true"],
            true,
            "ann is prime\nann has 300 coins (+300)\n",
        ),
        (
            vec!["grant", "ann", "--coins", "-50", "--reason", "fine", "--idempotency-key", "k"],
            true,
            "ann has 250 coins (-50)\n",
        ),
        (
            vec!["grant", "ann", "--coins", "-50", "--reason", "fine", "--idempotency-key", "k"],
            true,
            "ann has 250 coins; this grant had been made before",
        ),
        (
            vec!["grant", "ann", "--coins", "-51", "--reason", "fine", "--idempotency-key", "k"],
            false,
            "choose another key",
        ),
        (vec!["grant", "ann", "--prime", "false"], true, "ann is not prime\n"),
        (vec!["grant", "ann", "--coins", "-300"], false, "take no more than --coins -250"),
        (vec!["grant", "ann", "--coins", "1000000000"], false, "must be at most 999999750"),
        (vec!["grant", "ann"], false, "--coins"),
        (vec!["grant", "ann", "--coins", "many"], false, "must be a whole number"),
        (vec!["grant", "nobody", "--coins", "5"], false, "nobody has the userId `nobody`"),
        (vec!["make-admin", "a b"], false, "must be 1 to 64 of"),
    ] {
        let (was_done, words) = operator(&app, &arguments);
        assert_eq!(was_done, done, "{arguments:?}: {words}");
        assert!(words.contains(said), "{arguments:?}: {words}");
    }
    assert_eq!(ann.coins().await, 250);
    app.invariants_hold().await;
}

/// Where cargo puts a binary: in the folder above that of the test binary.
pub fn binary(name: &str) -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().with_file_name(name)
}

/// A process that is killed when its test ends.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A management API that has no sockets.
async fn nobody_connected() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let queues = Arc::new(Queues::new(&Template::default()));
    tokio::spawn(management::serve(Arc::new(Connections::default()), queues, listener));
    endpoint
}

/// Serves a runtime API that has this one event.
async fn runtime_with(event: &str) -> (String, mpsc::UnboundedReceiver<(String, Value)>) {
    let (address, events, answers) = runtime().await;
    events.send(event.to_owned()).unwrap();
    (address, answers)
}

/// Serves a runtime API (AWS Lambda Developer Guide, "Using the Lambda runtime API"). Returns its address, a channel
/// that takes events, and one on which a function's posts arrive as `("response", …)` or `("error", …)`.
pub async fn runtime() -> (String, mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<(String, Value)>) {
    #[derive(Clone)]
    struct Events {
        next: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>,
        posted: mpsc::UnboundedSender<(String, Value)>,
    }
    let next = async |State(events): State<Events>| {
        let event = events.next.lock().await.recv().await;
        match event {
            Some(event) => (
                [
                    ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
                    ("lambda-runtime-deadline-ms", "4102444800000"),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-east-1:123456789012:function:f",
                    ),
                    ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0"),
                ],
                event,
            ),
            // As in Lambda, a request for another event waits.
            None => std::future::pending().await,
        }
    };
    let answered =
        async |State(events): State<Events>, Path((_, outcome)): Path<(String, String)>, body: String| {
            _ = events.posted.send((outcome, serde_json::from_str(&body).unwrap()));
            (StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
        };
    let failed = async |State(events): State<Events>, body: String| {
        _ = events.posted.send(("init error".to_owned(), serde_json::from_str(&body).unwrap()));
        StatusCode::ACCEPTED
    };
    let (posted, answers) = mpsc::unbounded_channel();
    let (events, next_events) = mpsc::unbounded_channel();
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{request_id}/{outcome}", post(answered))
        .route("/2018-06-01/runtime/init/error", post(failed))
        .with_state(Events { next: Arc::new(tokio::sync::Mutex::new(next_events)), posted });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, events, answers)
}
