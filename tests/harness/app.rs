use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess};
use gateway::limits::Limits;
use gateway::store::Store;
use gateway::template::{self, Template};
use lambda_runtime::Context;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row};
use secrecy::ExposeSecret;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use shared::App;
use shared::base::db::Db;
use shared::base::files::Files;
use shared::base::migrations;
use shared::base::push::{Push, Sockets};
use shared::base::user::User;
use shared::config::Config;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;

use super::{Answer, Person, Socket, Statements};

/// `scripts/test` gives the same to the functions that are processes of their own.
const SETTINGS: &str = include_str!("../settings.env");
const NAME_PREFIX: &str = "coterie_test_";
/// Enough for the races of the tests; a test server gives 500 to all of them together.
const DATABASE_CONNECTIONS: usize = 24;

/// A server of its own, on a free port, with a database of its own.
///
/// With `TEST_GATEWAY` set it is the one server there, with the one database `TEST_DATABASE`, for all
/// tests at once: `scripts/test` then runs the functions as processes of their own. Names made by
/// `user`, `prime`, `rich` and `register` get an ending of their own there, so a test says
/// `ann.user_id` and not `"ann"`. A test that needs settings of its own, another time for all, or the
/// whole of a table is named in `tests/in-process-only`.
pub struct TestApp {
    /// `http://127.0.0.1:…`
    pub url: String,
    pub http: reqwest::Client,
    database: Opts,
    /// What makes names this test's own.
    ending: String,
    /// None when the server is not this test's own.
    stop: Option<watch::Sender<bool>>,
    /// The server's files; its store is none when the server is not this test's own.
    pub files: Files,
    app: Option<App>,
    store: Option<OwnStore>,
}

/// What statements took on the server.
#[derive(Debug)]
pub struct Work {
    /// The rows that were read, of tables and of indexes.
    pub read: u64,
    /// The rows that were sorted.
    pub sorted: u64,
}

/// A store of files in a folder, which both end with their test.
struct OwnStore {
    config: shared::config::Store,
    folder: PathBuf,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for OwnStore {
    fn drop(&mut self) {
        self.serving.abort();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl TestApp {
    /// A server with the settings of `scripts/dev` and a cheap bcrypt.
    pub async fn start() -> Self {
        match setting("TEST_GATEWAY") {
            None => Self::with(&[]).await,
            Some(url) => {
                let name = setting("TEST_DATABASE").expect("TEST_DATABASE names the gateway's database");
                Self {
                    url,
                    http: client(),
                    database: OptsBuilder::from_opts(server()).db_name(Some(name)).into(),
                    ending: format!("-{:08x}", rand::random::<u32>()),
                    stop: None,
                    files: Files::new(shared::config::Store::default()),
                    app: None,
                    store: None,
                }
            }
        }
    }

    /// A server with these settings besides.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::serve(Self::new_database().await, settings, |_| (), |functions| Arc::new(functions)).await
    }

    /// A server with what no setting sets.
    pub async fn adjusted(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::serve(Self::new_database().await, &[], adjust, |functions| Arc::new(functions)).await
    }

    /// A server whose statements are counted, and may lose their answers.
    pub async fn counted(statements: &Statements) -> Self {
        let database = Self::new_database().await;
        let port = statements.between(&database).await;
        let through = OptsBuilder::from_opts(database.clone()).tcp_port(port);
        let adjust = |config: &mut Config| config.database = through.into();
        Self::serve(database, &[], adjust, |functions| Arc::new(functions)).await
    }

    /// A server whose functions are wrapped, to stop time between two lines.
    pub async fn wrapped(wrap: impl FnOnce(InProcess) -> Arc<dyn Functions>) -> Self {
        Self::serve(Self::new_database().await, &[], |_| (), wrap).await
    }

    /// A server that posts to its sockets through this.
    pub async fn pushing(through: impl FnOnce(Arc<Connections>) -> Arc<dyn Sockets>) -> Self {
        let database = Self::new_database().await;
        Self::serve_through(database, &[], |_| (), |functions| Arc::new(functions), through).await
    }

    async fn new_database() -> Opts {
        assert_eq!(setting("TEST_GATEWAY"), None, "name this test in tests/in-process-only");
        let server = server();
        swept(&server).await;
        let name = format!("{NAME_PREFIX}{}_{:016x}", std::process::id(), rand::random::<u64>());
        let mut connection =
            Conn::new(server.clone()).await.expect("the server of TEST_DATABASE_URL answers");
        connection.query_drop(format!("CREATE DATABASE {name}")).await.unwrap();
        connection.disconnect().await.unwrap();
        let database: Opts = OptsBuilder::from_opts(server).db_name(Some(name)).into();
        migrations::migrate(&database).await.unwrap();
        database
    }

    /// A server whose database does not answer.
    pub async fn without_database() -> Self {
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let database = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(nowhere.port());
        let database = database.db_name(Some("coterie_test_none")).into();
        Self::serve(database, &[], |_| (), |functions| Arc::new(functions)).await
    }

    async fn serve(
        database: Opts,
        settings: &[(&str, &str)],
        adjust: impl FnOnce(&mut Config),
        wrap: impl FnOnce(InProcess) -> Arc<dyn Functions>,
    ) -> Self {
        Self::serve_through(database, settings, adjust, wrap, |connections| connections).await
    }

    async fn serve_through(
        database: Opts,
        settings: &[(&str, &str)],
        adjust: impl FnOnce(&mut Config),
        wrap: impl FnOnce(InProcess) -> Arc<dyn Functions>,
        through: impl FnOnce(Arc<Connections>) -> Arc<dyn Sockets>,
    ) -> Self {
        let replaced = [("DATABASE_URL", "mysql://replaced@127.0.0.1/below")];
        let own = replaced.iter().chain(settings).map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::from(common_settings().chain(own).collect()).unwrap();
        config.database = database.clone();
        let folder = std::env::temp_dir().join(format!("{NAME_PREFIX}{:016x}", rand::random::<u64>()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Store::new(&folder, listener, Store::random_keys()).unwrap();
        config.store = store.config();
        let store = OwnStore { config: store.config(), folder, serving: tokio::spawn(store.serve()) };
        adjust(&mut config);

        let connections = Arc::new(Connections::default());
        let files = Files::new(config.store.clone());
        let app = App::new(config, Push::Local(through(connections.clone())), DATABASE_CONNECTIONS);
        let own = app.clone();
        let mut template = Template::parse(template::BUILT_IN).unwrap();
        // A test that runs over the full hour would be swept.
        template.schedules.clear();
        let functions = wrap(InProcess::new(app.clone()));
        let gateway = Gateway::new(template, functions, connections, Limits::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, mut stopped) = watch::channel(false);
        let stopped = async move {
            _ = stopped.wait_for(|&stop| stop).await;
            app.end_pauses();
        };
        tokio::spawn(gateway.serve(listener, stopped));
        Self {
            url,
            http: client(),
            database,
            ending: String::new(),
            stop: Some(stop),
            files,
            app: Some(own),
            store: Some(store),
        }
    }

    /// What the store has on its disk: every file under the server's folder, by its path there.
    pub fn stored(&self) -> Vec<String> {
        let root = &self.store.as_ref().expect("the store is this test's own").folder;
        let (mut folders, mut paths) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => {
                        paths.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                    }
                }
            }
        }
        // Notes on the objects have names that begin with a dot, and stay no longer than their objects.
        let (notes, mut objects): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| path.starts_with('.'));
        assert!(notes.len() <= 2 * objects.len(), "{notes:?} beside {objects:?}");
        objects.sort_unstable();
        objects
    }

    /// Makes what the store has a day older, and an hour.
    pub fn age_stored(&self) {
        let root = &self.store.as_ref().expect("the store is this test's own").folder;
        for path in self.stored() {
            let file = std::fs::File::options().write(true).open(root.join(path)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(25 * 60 * 60)).unwrap();
        }
    }

    /// Stops the server as Ctrl-C does.
    pub fn stop(&self) {
        self.stop.as_ref().unwrap().send_replace(true);
    }

    /// The server's settings, for a process of its own.
    pub fn settings(&self) -> Vec<(String, String)> {
        let name = self.database.db_name().unwrap();
        let url = format!("{}/{name}", setting("TEST_DATABASE_URL").unwrap().trim_end_matches('/'));
        common_settings().chain([("DATABASE_URL".to_owned(), url)]).collect()
    }

    /// The settings of the server's store of files, for a process of its own.
    pub fn store_settings(&self) -> [(&'static str, String); 4] {
        let store = &self.store.as_ref().expect("the store is this test's own").config;
        let keys = store.keys.as_ref().unwrap();
        [
            ("UPLOADS_BUCKET", store.bucket.clone().unwrap()),
            ("S3_ENDPOINT", store.endpoint.clone().unwrap()),
            ("AWS_ACCESS_KEY_ID", keys.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.expose_secret().to_owned()),
        ]
    }

    /// A user who registered with this id and name, not prime and without coins.
    pub async fn user(&self, user_id: &str) -> Person {
        self.register(json!({"userId": user_id})).await
    }

    /// A prime user.
    pub async fn prime(&self, user_id: &str) -> Person {
        self.register(json!({"userId": user_id, "isPrime": true})).await
    }

    /// A user with so many coins.
    pub async fn rich(&self, user_id: &str, coins: u64) -> Person {
        self.register(json!({"userId": user_id, "availCoins": coins})).await
    }

    /// A user who registered with this, and a password unless it has one.
    pub async fn register(&self, mut registration: Value) -> Person {
        if let Some(Value::String(user_id)) = registration.get_mut("userId") {
            user_id.push_str(&self.ending);
        }
        if let Some(Value::String(name)) = registration.get_mut("organizationName") {
            name.push_str(&self.ending);
        }
        let password = json!(format!("{}'s password", registration["userId"].as_str().unwrap_or("their")));
        registration.as_object_mut().unwrap().entry("password").or_insert(password);
        let registered = self.post("/api/auth/register", registration).await.created();
        Person::new(self, &registered)
    }

    /// A prime user of another organization than `public`. The first of them is its admin.
    pub async fn foreigner(&self, user_id: &str) -> Person {
        self.of("Acme", user_id).await
    }

    /// A prime user of this organization, the first one its admin.
    pub async fn of(&self, organization: &str, user_id: &str) -> Person {
        let registration = json!({"userId": user_id, "isPrime": true, "organizationName": organization});
        self.register(registration).await
    }

    /// Makes somebody an admin, a moderator or a user, behind the service's back.
    pub async fn set_role(&self, person: &Person, role: &str) {
        self.run("UPDATE users SET role = ? WHERE user_id = ?", (role, &person.user_id)).await;
    }

    /// A request without a token.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.http.post(format!("{}{path}", self.url)).json(&body), "POST", path, None).await
    }

    /// A request without a token.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(format!("{}{path}", self.url)), "GET", path, None).await
    }

    /// A socket with this query, or the status and body of its refusal.
    pub async fn connect(&self, query: &str) -> Result<Socket, (u16, Value)> {
        Socket::connect(&format!("{}/{query}", self.url.replace("http", "ws")), None).await
    }

    /// Runs a function that has no route; an error is what Lambda would report.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, String> {
        let app = self.app.clone().unwrap_or_else(|| {
            let mut config = Config::from(self.settings().into_iter().collect()).unwrap();
            config.database = self.database.clone();
            App::new(config, Push::management(None), 1)
        });
        let event = to_raw_value(&event).unwrap();
        let answer = functions::catalogue()[function].call(app, event, Context::default()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(serde_json::from_str(answer.get()).unwrap())
    }

    /// Moves people into a new organization of their own, where nobody else is.
    pub async fn organization(&self, people: &[&Person]) {
        let name = format!("organization {:016x}", rand::random::<u64>());
        self.run(
            "INSERT INTO organizations (name, name_key, created_at) VALUES (?, ?, NOW())",
            (&name, &name),
        )
        .await;
        for person in people {
            self.run(
                "UPDATE users SET organization_id = (SELECT id FROM organizations WHERE name_key = ?) WHERE user_id = ?",
                (&name, &person.user_id),
            )
            .await;
        }
    }

    /// A connection of the test's own to the database.
    pub async fn database(&self) -> Conn {
        Conn::new(self.database.clone()).await.unwrap()
    }

    /// A person as `shared` knows them.
    pub async fn user_behind(&self, person: &Person) -> User {
        let sql = format!("SELECT organization_id, role FROM users WHERE user_id = '{}'", person.user_id);
        let row: (u64, String) = self.rows(&sql).await.remove(0);
        User {
            user_id: person.user_id.clone().try_into().unwrap(),
            organization_id: row.0,
            name: person.user_id.clone(),
            role: serde_json::from_value(json!(row.1)).unwrap(),
            prime: false,
            session_id: person.session_id(),
        }
    }

    /// What the statements of `act` read and sort on the server, in rows of tables and indexes: they go
    /// through a pool of one connection.
    pub async fn work<T>(&self, act: impl AsyncFnOnce(&Db) -> T) -> Work {
        let db = Db::new(self.database.clone(), 1);
        let status = async || -> HashMap<String, u64> {
            let rows: Vec<(String, String)> = db.rows("SHOW SESSION STATUS", ()).await.unwrap();
            rows.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
        };
        let (idle, before) = (status().await, status().await);
        act(&db).await;
        let after = status().await;
        // Less what asking for them takes itself.
        let of = |name: &str| (after[name] - before[name]).saturating_sub(before[name] - idle[name]);
        let read = after.keys().filter(|name| name.starts_with("Handler_read_")).map(|name| of(name)).sum();
        let work = Work { read, sorted: of("Sort_rows") };
        db.disconnect().await.unwrap();
        work
    }

    /// Changes what no endpoint can change yet, or shifts time.
    pub async fn run(&self, sql: &str, params: impl Into<Params> + Send) {
        self.database().await.exec_drop(sql, params).await.unwrap();
    }

    /// Looks at what no endpoint shows.
    pub async fn rows<R: FromRow + Send + 'static>(&self, sql: &str) -> Vec<R> {
        self.database().await.query(sql).await.unwrap()
    }

    /// A connection with an open transaction that holds what `lock` locks, until it ends.
    pub async fn holding(&self, lock: &str) -> Conn {
        let mut holder = self.database().await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop(lock).await.unwrap();
        holder
    }

    /// Waits until a statement with this text runs, as it goes on to do while a test holds a lock that it
    /// needs. Statements of all tests at one server are seen, so name such a test in `tests/in-process-only`.
    pub async fn until_waiting(&self, statement: &str) {
        let seen = timeout(Duration::from_secs(20), self.seen_waiting(statement)).await;
        seen.unwrap_or_else(|_| panic!("no {statement} waits"));
    }

    async fn seen_waiting(&self, statement: &str) {
        let mut watcher = self.database().await;
        let database: String = watcher.query_first("SELECT DATABASE()").await.unwrap().unwrap();
        let text = |row: &Row, column| {
            let bytes: Vec<u8> = row.get::<Option<Vec<u8>>, _>(column).flatten().unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        loop {
            // Not from information_schema: MySQL stumbles there over the bytes of a hash in a statement.
            let running: Vec<Row> = watcher.query("SHOW FULL PROCESSLIST").await.unwrap();
            let mut here = running.iter().filter(|row| text(row, "db") == database);
            if here.any(|row| text(row, "Info").contains(statement)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Checks what must hold in every room and for every user, whatever happened.
    pub async fn invariants_hold(&self) {
        let no_rows = [
            ("a ledger's sum is the balance", "SELECT u.user_id FROM users u LEFT JOIN coin_ledger l USING (user_id)
              GROUP BY u.user_id, u.avail_coins HAVING u.avail_coins <> COALESCE(SUM(l.delta), 0)"),
            ("the ledger's last row has the balance", "SELECT u.user_id FROM users u JOIN coin_ledger l USING (user_id)
              WHERE l.id = (SELECT MAX(id) FROM coin_ledger WHERE user_id = u.user_id) AND l.balance_after <> u.avail_coins"),
            ("members are counted", "SELECT CAST(r.id AS CHAR) FROM rooms r LEFT JOIN room_members m ON m.room_id = r.id
              GROUP BY r.id, r.member_count HAVING r.member_count <> COUNT(m.user_id)"),
            ("a room with members has one owner", "SELECT CAST(room_id AS CHAR) FROM room_members
              GROUP BY room_id HAVING SUM(role = 'owner') <> 1"),
            ("a room's last number is that of its last change", "SELECT CAST(r.id AS CHAR) FROM rooms r LEFT JOIN messages x ON x.room_id = r.id
              GROUP BY r.id, r.last_seq HAVING COALESCE(MAX(x.updated_seq), 0) <> r.last_seq"),
            ("every number is that of a message or of a later change", "SELECT CAST(r.id AS CHAR) FROM rooms r LEFT JOIN messages x ON x.room_id = r.id
              GROUP BY r.id, r.last_seq HAVING COUNT(x.seq) > r.last_seq OR SUM(x.updated_seq < x.seq) > 0
                OR (SUM(x.updated_seq <> x.seq) = 0 AND COUNT(x.seq) <> r.last_seq)"),
            ("a message shows the reactions that were given", "SELECT CONCAT(room_id, '-', seq) FROM (SELECT x.room_id, x.seq,
                COALESCE(JSON_LENGTH(x.reactions), 0) AS shown_kinds,
                (SELECT COALESCE(SUM(shown.count), 0) FROM
                 JSON_TABLE(COALESCE(x.reactions, '[]'), '$[*]' COLUMNS (count INT PATH '$[1]')) shown) AS shown_total,
                (SELECT COUNT(DISTINCT g.reaction) FROM reactions g WHERE g.room_id = x.room_id AND g.seq = x.seq) AS kinds,
                (SELECT COUNT(*) FROM reactions g WHERE g.room_id = x.room_id AND g.seq = x.seq) AS total
              FROM messages x) counted WHERE (shown_kinds, shown_total) <> (kinds, total)"),
        ];
        for (rule, sql) in no_rows {
            let broken: Vec<String> = self.rows(sql).await;
            assert!(broken.is_empty(), "{rule}: not for {broken:?}");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let Some(stop) = self.stop.take() else { return };
        stop.send_replace(true);
        // The database of a failed test stays for inspection; the next run sweeps it.
        let Some(name) = self.database.db_name().map(str::to_owned).filter(|_| !std::thread::panicking())
        else {
            return;
        };
        // The test's own runtime is ending, so the thread has one of its own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drop_databases(&server(), &[name]));
        });
        _ = dropped.join();
    }
}

fn common_settings() -> impl Iterator<Item = (String, String)> {
    dotenvy::from_read_iter(SETTINGS.as_bytes()).map(Result::unwrap)
}

#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A client that shows where it is led to, and does not go there.
fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// The server on which each test makes its database. `scripts/test` starts one.
fn server() -> Opts {
    let url = setting("TEST_DATABASE_URL").expect("TEST_DATABASE_URL is set; scripts/test does that");
    Opts::from_url(&url).unwrap()
}

/// Drops, once in each run, the databases of runs that have ended.
async fn swept(server: &Opts) {
    static SWEPT: OnceCell<()> = OnceCell::const_new();
    SWEPT
        .get_or_init(|| async {
            let mut connection =
                Conn::new(server.clone()).await.expect("the server of TEST_DATABASE_URL answers");
            let all: Vec<String> = connection.query("SHOW DATABASES").await.unwrap();
            connection.disconnect().await.unwrap();
            let ended: Vec<String> = all
                .into_iter()
                .filter(|name| {
                    let process = name.strip_prefix(NAME_PREFIX).and_then(|rest| rest.split('_').next());
                    process.is_some_and(|process| !Path::new("/proc").join(process).exists())
                })
                .collect();
            drop_databases(server, &ended).await;
        })
        .await;
}

async fn drop_databases(server: &Opts, names: &[String]) {
    let Ok(mut connection) = Conn::new(server.clone()).await else {
        return;
    };
    for name in names {
        _ = connection.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await;
    }
    _ = connection.disconnect().await;
}
