use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use gateway::Gateway;
use gateway::connections::Connections;
use gateway::invoke::{Functions, InProcess};
use gateway::limits::GatewayLimits;
use gateway::queues::Queues;
use gateway::store::Store;
use gateway::template::{self, Template};
use lambda_runtime::Context;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error, Opts, OptsBuilder, Params, Row, ServerError};
use secrecy::ExposeSecret;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use shared::App;
use shared::base::db::Db;
use shared::base::files::Files;
use shared::base::jobs::{Jobs, Queue};
use shared::base::push::{Push, Sockets};
use shared::base::user::User;
use shared::config::{Config, ConnectionLimits};
use shared::events::announce;
use shared::verify::{Wrong, verify_rows};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Answer, Person, Socket, Statements, databases};

/// `scripts/test` gives the same settings to functions that run in processes of their own.
const SETTINGS: &str = include_str!("../settings.env");
/// The built-in template without its schedules: otherwise the hourly sweep could run during a test. A failed job
/// is delivered again soon.
static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let mut template = Template::parse(template::BUILT_IN).unwrap();
    template.schedules.clear();
    for queue in template.queues.values_mut() {
        queue.visibility_timeout = Duration::from_millis(20);
    }
    template
});
const NO_DATABASE: &str = "coterie_test_none";
/// Enough for the tests of races. The database server of the tests has 500 connections for all of them.
const DATABASE_CONNECTIONS: usize = 24;
/// `ER_LOCK_DEADLOCK`: the database has undone the transaction.
const DEADLOCK: u16 = 1213;

/// A server on a free port, with a database of its own.
///
/// If `TEST_GATEWAY` is set, it is the server at that URL, which all tests share, with the database
/// `TEST_DATABASE`: `scripts/test` then runs the functions in processes of their own. `TEST_SOCKETS` is the URL of its
/// WebSockets, where that is another one. On a shared server `user`, `prime`, `rich` and `register` append a suffix to
/// each name, so a test uses `ann.user_id` and not `"ann"`. A test that needs settings of its own, shifts the time of
/// all tests or reads a whole table is listed in `tests/in-process-only`.
pub struct TestApp {
    /// `http://127.0.0.1:…`
    pub url: String,
    /// The URL of the WebSockets, `ws://127.0.0.1:…`
    pub sockets: String,
    pub http: reqwest::Client,
    database: Opts,
    /// The suffix that makes names unique to this test.
    ending: String,
    /// `None` if the tests share the server.
    stop: Option<watch::Sender<bool>>,
    /// The server's files, without a store if the tests share the server.
    pub files: Files,
    app: Option<App>,
    store: Option<OwnStore>,
}

/// The work of some statements on the database server.
#[derive(Debug)]
pub struct Work {
    /// The number of rows read, from tables and from indexes.
    pub read: u64,
    /// The number of rows sorted.
    pub sorted: u64,
    /// The number of temporary tables on disk.
    pub tables_on_disk: u64,
}

impl Work {
    /// Measures the statements that `act` runs on the only connection of `db`.
    async fn of<T>(db: &Db, act: impl Future<Output = T>) -> (T, Self) {
        let status = async || -> HashMap<String, u64> {
            let rows: Vec<(String, String)> = db.rows("SHOW SESSION STATUS", ()).await.unwrap();
            rows.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
        };
        let (idle, before) = (status().await, status().await);
        let done = act.await;
        let after = status().await;
        // Without the cost of reading the status itself.
        let of = |name: &str| (after[name] - before[name]).saturating_sub(before[name] - idle[name]);
        let read = after.keys().filter(|name| name.starts_with("Handler_read_")).map(|name| of(name)).sum();
        (done, Self { read, sorted: of("Sort_rows"), tables_on_disk: of("Created_tmp_disk_tables") })
    }
}

/// A store of files and its folder, both of which are removed when the test ends.
struct OwnStore {
    config: shared::config::StoreSettings,
    folder: PathBuf,
    serving: tokio::task::JoinHandle<()>,
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
                let name = setting("TEST_DATABASE").expect("TEST_DATABASE must name the gateway's database");
                Self {
                    sockets: setting("TEST_SOCKETS").unwrap_or_else(|| url.replace("http", "ws")),
                    url,
                    http: client(),
                    database: OptsBuilder::from_opts(server()).db_name(Some(name)).into(),
                    ending: format!("-{:08x}", rand::random::<u32>()),
                    stop: None,
                    files: Files::new(shared::config::StoreSettings::default()),
                    app: None,
                    store: None,
                }
            }
        }
    }

    /// A server with a database that no test has had, so that ids begin at 1.
    pub async fn with_ids_from_1() -> Self {
        Self::serve(databases::create(&server()).await, &[], |_| (), |functions| Arc::new(functions)).await
    }

    /// A server with these settings in addition.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::serve(Self::new_database().await, settings, |_| (), |functions| Arc::new(functions)).await
    }

    /// A server with a changed `Config`, for what no setting can change.
    pub async fn adjusted(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::serve(Self::new_database().await, &[], adjust, |functions| Arc::new(functions)).await
    }

    /// A server whose statements are recorded, and may lose their responses.
    pub async fn counted(statements: &Statements) -> Self {
        let database = Self::new_database().await;
        let port = statements.between(&database).await;
        let through = OptsBuilder::from_opts(database.clone()).tcp_port(port);
        let adjust = |config: &mut Config| config.database = Opts::from(through).into();
        Self::serve(database, &[], adjust, |functions| Arc::new(functions)).await
    }

    /// A server with a single connection to its database, whose requests [`Self::work_of`] measures.
    pub async fn measured() -> Self {
        let database = Self::new_database().await;
        Self::serve_through(
            database,
            1,
            &[],
            |_| (),
            |functions| Arc::new(functions),
            |connections| connections,
        )
        .await
    }

    /// The way to the server's database through a proxy of these statements.
    pub async fn database_through(&self, statements: &Statements) -> Opts {
        let port = statements.between(&self.database).await;
        OptsBuilder::from_opts(self.database.clone()).tcp_port(port).into()
    }

    /// A server with a changed `Config` whose functions are wrapped, for instance to stop one of them at some point.
    pub async fn wrapped(
        adjust: impl FnOnce(&mut Config),
        wrap: impl FnOnce(InProcess) -> Arc<dyn Functions>,
    ) -> Self {
        Self::serve(Self::new_database().await, &[], adjust, wrap).await
    }

    /// A server with a changed `Config` that pushes to its sockets through `through`.
    pub async fn pushing(
        adjust: impl FnOnce(&mut Config),
        through: impl FnOnce(Arc<Connections>) -> Arc<dyn Sockets>,
    ) -> Self {
        let database = Self::new_database().await;
        let wrap = |functions| -> Arc<dyn Functions> { Arc::new(functions) };
        Self::serve_through(database, DATABASE_CONNECTIONS, &[], adjust, wrap, through).await
    }

    async fn new_database() -> Opts {
        assert_eq!(setting("TEST_GATEWAY"), None, "add this test to tests/in-process-only");
        databases::take(&server()).await
    }

    /// A server whose database does not answer.
    pub async fn without_database() -> Self {
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let database = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(nowhere.port());
        let database = database.db_name(Some(NO_DATABASE)).into();
        Self::serve(database, &[], |_| (), |functions| Arc::new(functions)).await
    }

    async fn serve(
        database: Opts,
        settings: &[(&str, &str)],
        adjust: impl FnOnce(&mut Config),
        wrap: impl FnOnce(InProcess) -> Arc<dyn Functions>,
    ) -> Self {
        Self::serve_through(database, DATABASE_CONNECTIONS, settings, adjust, wrap, |connections| connections)
            .await
    }

    async fn serve_through(
        database: Opts,
        database_connections: usize,
        settings: &[(&str, &str)],
        adjust: impl FnOnce(&mut Config),
        wrap: impl FnOnce(InProcess) -> Arc<dyn Functions>,
        through: impl FnOnce(Arc<Connections>) -> Arc<dyn Sockets>,
    ) -> Self {
        let replaced = [("DATABASE_URL", "mysql://replaced@127.0.0.1/below")];
        let own = replaced.iter().chain(settings).map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::from(common_settings().chain(own).collect()).unwrap();
        config.database = database.clone().into();
        let folder = std::env::temp_dir().join(format!("coterie_test_{:016x}", rand::random::<u64>()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Store::new(&folder, listener, Store::random_keys()).unwrap();
        config.store = store.config();
        let store = OwnStore {
            config: store.config(),
            folder,
            serving: tokio::spawn(store.serve(ConnectionLimits::default())),
        };
        adjust(&mut config);

        let connections = Arc::new(Connections::default());
        let files = Files::new(config.store.clone());
        let mut template = TEMPLATE.clone();
        template.allow_credentials(&config.allowed_origins);
        template.queues.get_mut(Queue::Presence.name()).unwrap().delay = config.presence_hold;
        let queues = Arc::new(Queues::new(&template));
        let app = App::new(config, Push::Local(through(connections.clone())), database_connections);
        let app = App { jobs: Jobs::Local(queues.clone()), ..app };
        let own = app.clone();
        let functions = wrap(InProcess::new(app));
        let gateway =
            Gateway::new(template, functions, connections, queues, GatewayLimits::default()).unwrap();
        let gateway = gateway.with_farewell(announce::server_restart);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let stopped = async move {
            _ = stopped.wait_for(|&stop| stop).await;
        };
        tokio::spawn(gateway.serve(listener, stopped));
        Self {
            url: format!("http://{address}"),
            sockets: format!("ws://{address}"),
            http: client(),
            database,
            ending: String::new(),
            stop: Some(stop),
            files,
            app: Some(own),
            store: Some(store),
        }
    }

    /// The paths of all objects in the store's folder, in alphabetical order.
    pub fn stored(&self) -> Vec<String> {
        let root = &self.store.as_ref().expect("the tests share the store").folder;
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
        // Files whose names begin with a dot describe objects, and are deleted with them.
        let (notes, mut objects): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| path.starts_with('.'));
        assert!(notes.len() <= 2 * objects.len(), "{notes:?} beside {objects:?}");
        objects.sort_unstable();
        objects
    }

    /// The folder of the server's store.
    pub fn store_folder(&self) -> PathBuf {
        self.store.as_ref().expect("the tests share the store").folder.clone()
    }

    /// Makes all objects in the store 25 hours older.
    pub fn age_stored(&self) {
        let root = &self.store.as_ref().expect("the tests share the store").folder;
        for path in self.stored() {
            let file = std::fs::File::options().write(true).open(root.join(path)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(25 * 60 * 60)).unwrap();
        }
    }

    /// Stops the server as Ctrl-C does.
    pub fn stop(&self) {
        self.stop.as_ref().unwrap().send_replace(true);
    }

    /// The server's settings, for a separate process.
    pub fn settings(&self) -> Vec<(String, String)> {
        let name = self.database.db_name().unwrap();
        let url = format!("{}/{name}", setting("TEST_DATABASE_URL").unwrap().trim_end_matches('/'));
        common_settings().chain([("DATABASE_URL".to_owned(), url)]).collect()
    }

    /// The settings of the server's store, for a separate process.
    pub fn store_settings(&self) -> [(&'static str, String); 4] {
        let store = &self.store.as_ref().expect("the tests share the store").config;
        let keys = store.keys.as_ref().unwrap();
        [
            ("UPLOADS_BUCKET", store.bucket.clone().unwrap()),
            ("S3_ENDPOINT", store.endpoint.clone().unwrap()),
            ("AWS_ACCESS_KEY_ID", keys.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret.expose_secret().to_owned()),
        ]
    }

    /// A user with this id, not prime and without coins.
    pub async fn user(&self, user_id: &str) -> Person {
        self.register(json!({"userId": user_id})).await
    }

    /// A prime user.
    pub async fn prime(&self, user_id: &str) -> Person {
        self.register(json!({"userId": user_id, "isPrime": true})).await
    }

    /// A user with this many coins.
    pub async fn rich(&self, user_id: &str, coins: u64) -> Person {
        self.register(json!({"userId": user_id, "availCoins": coins})).await
    }

    /// A user who registers with these fields, and with a password if it has none.
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

    /// A prime user of the organization `Acme`, for tests outside `public`. The first one is its admin.
    pub async fn foreigner(&self, user_id: &str) -> Person {
        self.of("Acme", user_id).await
    }

    /// A prime user of this organization. The first one is its admin.
    pub async fn of(&self, organization: &str, user_id: &str) -> Person {
        let registration = json!({"userId": user_id, "isPrime": true, "organizationName": organization});
        self.register(registration).await
    }

    /// Gives somebody a role in the organization, directly in the database.
    pub async fn set_role(&self, person: &Person, role: &str) {
        self.run("UPDATE users SET role = ? WHERE user_id = ?", (role, &person.user_id)).await;
    }

    /// Sends a request without a token.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.http.post(format!("{}{path}", self.url)).json(&body), "POST", path, None).await
    }

    /// Sends a request without a token.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(format!("{}{path}", self.url)), "GET", path, None).await
    }

    /// Opens a socket with this query, or returns the status and body of the refusal.
    pub async fn connect(&self, query: &str) -> Result<Socket, (u16, Value)> {
        Socket::connect(&format!("{}/{query}", self.sockets), None).await
    }

    /// Calls a function that has no route. An `Err` is what Lambda would report.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, String> {
        let app = self.app.clone().unwrap_or_else(|| {
            let mut config = Config::from(self.settings().into_iter().collect()).unwrap();
            config.database = self.database.clone().into();
            App::new(config, Push::management(None), 1)
        });
        let event = to_raw_value(&event).unwrap();
        let answer = functions::catalogue()[function].call(app, event, Context::default()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(serde_json::from_str(answer.get()).unwrap())
    }

    /// Moves these people to a new organization, where nobody else is.
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
            self.run(
                "UPDATE name_keys JOIN users USING (user_id) SET name_keys.organization_id = users.organization_id WHERE user_id = ?",
                (&person.user_id,),
            )
            .await;
        }
    }

    /// A new connection to the database.
    pub async fn database(&self) -> Conn {
        Conn::new(self.database.clone()).await.unwrap()
    }

    /// The `User` that `shared` has for a person.
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

    /// Runs something on the database as the service does, with a pool of one connection.
    pub async fn work_on<T>(&self, act: impl AsyncFnOnce(&Db) -> T) -> T {
        let db = Db::new(self.database.clone(), 1);
        let done = act(&db).await;
        db.disconnect().await.unwrap();
        done
    }

    /// Measures what the statements of `act` read and sort on the database server. They use a pool of one connection.
    pub async fn work<T>(&self, act: impl AsyncFnOnce(&Db) -> T) -> Work {
        let db = Db::new(self.database.clone(), 1);
        let (_, work) = Work::of(&db, act(&db)).await;
        db.disconnect().await.unwrap();
        work
    }

    /// Measures what requests to this server, which is one of [`Self::measured`], read and sort on the database server.
    pub async fn work_of<T>(&self, requests: impl Future<Output = T>) -> (T, Work) {
        Work::of(&self.app.as_ref().unwrap().db, requests).await
    }

    /// Runs a statement, to change what no endpoint can change or to shift time. It may deadlock with what the service
    /// does at the same time, such as a `$disconnect`. Then it runs again, as the service's statements do.
    pub async fn run(&self, sql: &str, params: impl Into<Params> + Send) {
        let (mut database, params) = (self.database().await, params.into());
        while !is_done(database.exec_drop(sql, params.clone()).await, sql) {}
    }

    /// Runs a query, to read what no endpoint shows.
    pub async fn rows<R: FromRow + Send + 'static>(&self, sql: &str) -> Vec<R> {
        self.database().await.query(sql).await.unwrap()
    }

    /// A connection with an open transaction that holds the locks of the statement `lock`.
    pub async fn holding(&self, lock: &str) -> Conn {
        let mut holder = self.database().await;
        loop {
            holder.query_drop("START TRANSACTION").await.unwrap();
            if is_done(holder.query_drop(lock).await, lock) {
                return holder;
            }
        }
    }

    /// Waits until a query that counts something finds this number.
    pub async fn until(&self, count: u64, query: &str) {
        let found = async { while self.rows::<u64>(query).await != [count] {} };
        timeout(Duration::from_secs(20), found).await.unwrap_or_else(|_| panic!("never {count}: {query}"));
    }

    /// Waits until the metrics of a server, which it shows at this address, have this line.
    pub async fn until_metric(&self, address: &str, line: &str) {
        let metrics = async || self.http.get(format!("http://{address}/metrics")).send().await?.text().await;
        let seen = async { while !metrics().await.unwrap().lines().any(|shown| shown == line) {} };
        timeout(Duration::from_secs(20), seen)
            .await
            .unwrap_or_else(|_| panic!("the metrics never have {line}"));
    }

    /// Waits until a statement that contains this text is running, which it still is while it waits for a lock that
    /// the test holds. List such a test in `tests/in-process-only`, since on a shared server it sees the statements
    /// of all tests.
    pub async fn until_waiting(&self, statement: &str) {
        self.until_so_many_wait(statement, 1).await;
    }

    /// As [`TestApp::until_waiting`], for at least so many statements.
    pub async fn until_so_many_wait(&self, statement: &str, count: usize) {
        let seen = timeout(Duration::from_secs(20), async {
            let mut watcher = self.database().await;
            while self.running(&mut watcher, statement).await.len() < count {
                tokio::task::yield_now().await;
            }
        });
        seen.await.unwrap_or_else(|_| panic!("no {count} statements with {statement:?} are waiting"));
    }

    /// How many statements that contain this text are running.
    pub async fn waiting(&self, statement: &str) -> usize {
        self.running(&mut self.database().await, statement).await.len()
    }

    /// Interrupts the running statements that contain this text, as an operator or a time limit of the server does.
    pub async fn interrupt(&self, statement: &str) {
        let mut killer = self.database().await;
        for connection in self.running(&mut killer, statement).await {
            killer.query_drop(format!("KILL QUERY {connection}")).await.unwrap();
        }
    }

    /// The connections that are running a statement that contains this text.
    async fn running(&self, watcher: &mut Conn, statement: &str) -> Vec<u32> {
        let text = |row: &Row, column| {
            let bytes: Vec<u8> = row.get::<Option<Vec<u8>>, _>(column).flatten().unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let database = self.database.db_name().unwrap();
        // Not information_schema: MySQL fails there on statements that contain the bytes of a hash.
        let running: Vec<Row> = watcher.query("SHOW FULL PROCESSLIST").await.unwrap();
        let here =
            running.iter().filter(|row| text(row, "db") == database && text(row, "Info").contains(statement));
        here.map(|row| row.get("Id").unwrap()).collect()
    }

    /// Checks what is true of every room and every user at any time.
    pub async fn invariants_hold(&self) {
        let db = Db::new(self.database.clone(), 1);
        let mut wrong = Vec::new();
        verify_rows(&db, &mut |row: Wrong| wrong.push(row.to_string())).await.unwrap();
        db.disconnect().await.unwrap();
        assert_eq!(wrong, [""; 0]);
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let Some(stop) = self.stop.take() else { return };
        stop.send_replace(true);
        // The database of a failed test is kept for inspection; the next run drops it.
        if std::thread::panicking() || self.database.db_name() == Some(NO_DATABASE) {
            return;
        }
        let database = self.database.clone();
        // The test's runtime is shutting down, so this needs a thread with another one.
        let given_back = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(databases::give_back(&server(), database));
        });
        _ = given_back.join();
    }
}

fn common_settings() -> impl Iterator<Item = (String, String)> {
    dotenvy::from_read_iter(SETTINGS.as_bytes()).map(Result::unwrap)
}

/// A setting of the tests themselves, which begins with `TEST_`.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A client that does not follow redirects. It talks to loopback alone, and reading the certificates of this machine
/// would take a tenth of a test's time.
fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.tls_certs_only([]).build().unwrap()
}

/// The database server on which each test creates its database. `scripts/test` starts one.
fn server() -> Opts {
    let url = setting("TEST_DATABASE_URL").expect("TEST_DATABASE_URL must be set, as scripts/test does");
    Opts::from_url(&url).unwrap()
}

/// Returns whether a statement is done. If it is not, a deadlock with the service has undone it, and it may run again.
fn is_done(result: Result<(), Error>, sql: &str) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Server(ServerError { code: DEADLOCK, .. })) => false,
        Err(error) => panic!("{error}: {sql}"),
    }
}
