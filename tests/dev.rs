//! `coterie dev` as scripts/dev runs it. Each test has its own folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::binaries::binary;
use crate::harness::TestApp;

/// Long enough for everything that these tests wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is removed when its test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("coterie_test_{:016x}", rand::random::<u64>()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn env(&self) -> String {
        fs::read_to_string(self.path(".env")).unwrap()
    }

    /// Makes the command `coterie dev …` in this folder. Its only settings are the database and these.
    fn dev(&self, app: &TestApp, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(binary("coterie"));
        command.arg("dev").args(arguments).current_dir(&self.0).env_clear();
        command.envs(app.settings().into_iter().filter(|(name, _)| name == "DATABASE_URL"));
        command.env("RUST_LOG", "warn").envs(settings.iter().copied()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A `coterie dev` that has printed the session to copy.
struct Dev {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
}

impl Dev {
    async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = Vec::new();
        while printed.last().is_none_or(|line| line != "Ctrl-C here stops it.") {
            printed.push(next(&mut output).await.unwrap_or_else(|| panic!("it ended after {printed:?}")));
        }
        Self { child, output, printed }
    }

    fn url(&self) -> String {
        let line = self.printed.iter().find_map(|line| line.strip_prefix("Coterie answers on "));
        line.unwrap().split(' ').next().unwrap().replace("localhost", "127.0.0.1")
    }

    async fn signal(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }

    /// Ends it in the way that Ctrl-C in its terminal does.
    async fn stop(mut self) {
        assert!(self.signal(Signal::INT).await.success());
        assert_eq!(next(&mut self.output).await, None);
    }
}

async fn next(lines: &mut Lines<impl AsyncRead + AsyncBufReadExt + Unpin>) -> Option<String> {
    timeout(PATIENCE, lines.next_line()).await.expect("a line comes, or the end").unwrap()
}

/// Reads the settings of a file.
fn settings(text: &str) -> BTreeMap<String, String> {
    dotenvy::from_read_iter(text.as_bytes()).map(Result::unwrap).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_first_start_makes_secrets_and_the_next_keeps_them() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    let dev = Dev::start(folder.dev(&app, &[], &[("PORT", "0")])).await;
    assert!(dev.printed.contains(&"==> Secrets: adding JWT_SECRET REFRESH_SECRET to .env".to_owned()));
    assert!(!dev.printed.iter().any(|line| line.contains("page")), "none was built");
    let made = folder.env();
    let secrets = settings(&made);
    assert_eq!(secrets.keys().collect::<Vec<_>>(), ["JWT_SECRET", "REFRESH_SECRET"]);
    assert!(secrets.values().all(|secret| secret.len() == 64), "32 bytes each");
    assert_ne!(secrets["JWT_SECRET"], secrets["REFRESH_SECRET"]);
    assert_eq!(mode(&folder.path(".env")), 0o600);

    // Signup grants are open here.
    let ann = serde_json::json!({"name": "Ann", "password": "correct horse", "isPrime": true});
    let registered =
        app.http.post(format!("{}/api/auth/register", dev.url())).json(&ann).send().await.unwrap();
    assert_eq!(registered.status(), 201);
    let registered: Value = registered.json().await.unwrap();
    assert_eq!(registered["user"]["prime"], true, "{registered}");
    dev.stop().await;

    let dev = Dev::start(folder.dev(&app, &[], &[("PORT", "0")])).await;
    assert!(!dev.printed.iter().any(|line| line.contains("Secrets")));
    assert_eq!(folder.env(), made);
    dev.stop().await;
}

#[tokio::test]
async fn a_page_that_was_built_is_served_and_told() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    fs::create_dir_all(folder.path("web/dist")).unwrap();
    fs::write(folder.path("web/dist/index.html"), "<title>Chat</title>").unwrap();
    let dev = Dev::start(folder.dev(&app, &[], &[("PORT", "0")])).await;
    let url = dev.url().replace("127.0.0.1", "localhost");
    let told = format!("The chat page: {url}/");
    assert!(dev.printed.contains(&told), "{:?}", dev.printed);
    let page = app.http.get(format!("{}/", dev.url())).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains(&format!("connect-src 'self' {url}/store/;")), "the store of files: {policy}");
    assert_eq!(page.text().await.unwrap(), "<title>Chat</title>");
    let other = app.http.get(format!("{}/web/dist/index.html", dev.url())).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
    dev.stop().await;
}

#[tokio::test]
async fn what_stands_in_the_file_stays_behind_its_link() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    fs::create_dir(folder.path("kept")).unwrap();
    symlink("kept/settings", folder.path(".env")).unwrap();
    let mine = "# mine\nexport JWT_SECRET = 'a secret of 32 bytes, and \"more\"'  # kept\nPORT=0\nREFRESH_SECRET=\nX=no end";
    fs::write(folder.path("kept/settings"), mine).unwrap();

    let dev = Dev::start(folder.dev(&app, &[], &[])).await;
    assert!(dev.printed.contains(&"==> Secrets: adding REFRESH_SECRET to .env".to_owned()));
    let added = folder.env().strip_prefix(mine).unwrap().to_owned();
    let secret = added.strip_prefix("\nREFRESH_SECRET=").and_then(|rest| rest.strip_suffix('\n')).unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    assert_eq!(fs::read_link(folder.path(".env")).unwrap(), Path::new("kept/settings"));
    assert_eq!(mode(&folder.path("kept/settings")), 0o600);
    assert_eq!(fs::read_dir(folder.path("kept")).unwrap().count(), 1, "no draft is left");
    dev.stop().await;
}

#[tokio::test]
async fn a_link_to_no_file_leads_to_where_the_secrets_go() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    symlink("elsewhere", folder.path(".env")).unwrap();
    let dev = Dev::start(folder.dev(&app, &[], &[("PORT", "0")])).await;
    assert_eq!(fs::read_link(folder.path(".env")).unwrap(), Path::new("elsewhere"));
    assert_eq!(settings(&fs::read_to_string(folder.path("elsewhere")).unwrap()).len(), 2);
    dev.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_next() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let mut command = folder.dev(&app, &[], &[("PORT", &port.to_string())]);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "\nerror: Port {port} is in use by another program. Choose another: PORT={} scripts/dev\n",
            port + 1
        )
    );
}

#[tokio::test]
async fn whether_a_database_is_set_is_asked_of_the_environment_and_the_file() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    for (file, environment, set) in [
        ("", "", false),
        ("#DATABASE_URL=mysql://u@h/d", "", false),
        ("DATABASE_URL=", "", false),
        ("OTHER_DATABASE_URL=mysql://u@h/d", "", false),
        ("", "mysql://u@h/d", true),
        ("  export DATABASE_URL = \"mysql://u@h/d\"", "", true),
        ("DB_HOST=h", "", true),
    ] {
        fs::write(folder.path(".env"), file).unwrap();
        let mut command = folder.dev(&app, &["--has-database"], &[]);
        command.env_remove("DATABASE_URL");
        command.envs((!environment.is_empty()).then_some(("DATABASE_URL", environment)));
        let status = timeout(PATIENCE, command.status()).await.unwrap().unwrap();
        assert_eq!(status.success(), set, "`{file}` and `{environment}`");
        assert_eq!(folder.env(), file);
    }
}

/// Replaces `cargo-lambda`. It does not listen itself. It tells the test the port that it
/// was given and, when it ends, whether the gateway was still running.
const WATCH: &str = r#"#!/usr/bin/env bash
trap '(exec 5<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && echo before >&4 || echo after >&4; exit' TERM
exec 4<>"/dev/tcp/127.0.0.1/$TEST_PORT"
echo "$*" >&4
read -r -u 4
"#;

/// The test's end of the stand-ins.
struct Watches {
    listener: TcpListener,
    /// The port on which the gateway must listen.
    port: String,
    path: String,
    test_port: String,
}

/// The messages of one stand-in. They end when the stand-in ends.
type Watch = Lines<BufReader<TcpStream>>;

impl Watches {
    async fn new(folder: &Folder) -> Self {
        fs::write(folder.path("cargo-lambda"), WATCH).unwrap();
        fs::set_permissions(folder.path("cargo-lambda"), fs::Permissions::from_mode(0o700)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            port: free.local_addr().unwrap().port().to_string(),
            path: format!("{}:{}", folder.0.display(), std::env::var_os("PATH").unwrap().display()),
            test_port: listener.local_addr().unwrap().port().to_string(),
            listener,
        }
    }

    /// Starts `coterie dev --lambda`, whose functions run in this process.
    async fn start(&self, app: &TestApp, folder: &Folder) -> (Dev, Watch) {
        let settings = [("PORT", &*self.port), ("PATH", &self.path), ("TEST_PORT", &self.test_port)];
        let dev = Dev::start(folder.dev(app, &["--lambda"], &settings));
        let invoked = async {
            let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
            let mut watch = BufReader::new(stream).lines();
            let arguments = next(&mut watch).await.unwrap();
            assert!(arguments.starts_with("lambda watch --invoke-address 127.0.0.1"), "{arguments}");
            let port = arguments.rsplit_once("--invoke-port ").unwrap().1;
            let endpoint = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
            let health =
                app.invoke("health", serde_json::from_str(include_str!("events/http.json")).unwrap());
            let health = health.await.unwrap().to_string();
            let functions = Router::new()
                .route("/2015-03-31/functions/health/invocations", post(async move || health))
                .fallback(async || StatusCode::INTERNAL_SERVER_ERROR);
            tokio::spawn(async { axum::serve(endpoint, functions).await });
            watch
        };
        tokio::join!(dev, invoked)
    }
}

#[tokio::test]
async fn ctrl_c_ends_the_gateway_and_then_the_functions() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    let watches = Watches::new(&folder).await;
    let (dev, mut watch) = watches.start(&app, &folder).await;
    let pid_file = folder.path(".local/lambda/watch.pid");
    assert!(pid_file.exists());
    assert_eq!(app.http.get(format!("{}/health", dev.url())).send().await.unwrap().status(), 200);
    dev.stop().await;
    assert_eq!(next(&mut watch).await.as_deref(), Some("after"));
    assert_eq!(next(&mut watch).await, None);
    assert!(!pid_file.exists());
}

#[tokio::test]
async fn functions_that_end_by_themselves_end_it() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    let watches = Watches::new(&folder).await;
    let (mut dev, watch) = watches.start(&app, &folder).await;
    drop(watch);
    let status = timeout(PATIENCE, dev.child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn what_a_killed_run_left_behind_is_ended_and_nothing_else() {
    let (app, folder) = (TestApp::start().await, Folder::new());
    let watches = Watches::new(&folder).await;
    let (mut killed, mut left) = watches.start(&app, &folder).await;
    assert!(!killed.signal(Signal::KILL).await.success());
    let (mut dev, mut watch) = watches.start(&app, &folder).await;
    assert_eq!(next(&mut left).await.as_deref(), Some("after"));
    assert_eq!(next(&mut left).await, None);

    // By now the id may belong to another program, with a different start time.
    assert!(!dev.signal(Signal::KILL).await.success());
    let pid_file = folder.path(".local/lambda/watch.pid");
    let noted = fs::read_to_string(&pid_file).unwrap();
    let (pid, start) = noted.trim().split_once(' ').unwrap();
    fs::write(&pid_file, format!("{pid} {}\n", start.parse::<u64>().unwrap() - 1)).unwrap();
    let (dev, _watch) = watches.start(&app, &folder).await;
    let said = watch.get_mut().get_mut().try_read(&mut [0; 16]);
    assert!(
        said.is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "it says nothing and has not ended"
    );
    dev.stop().await;
    // A stand-in ends with its connection.
    drop(watch);
}
