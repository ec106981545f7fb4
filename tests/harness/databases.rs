//! The tests' databases. A test has one for itself while it runs. Afterwards it is emptied for another test, because
//! creating and migrating one takes the server much longer.

use std::path::Path;
use std::sync::Mutex;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row};
use shared::schema;
use tokio::sync::OnceCell;

const NAME_PREFIX: &str = "coterie_test_";

/// The empty databases that no test has.
static FREE: Mutex<Vec<Opts>> = Mutex::new(Vec::new());

/// The statements that empty a database, down to the rows that the migrations insert.
static EMPTY: OnceCell<String> = OnceCell::const_new();

/// An empty database with all tables.
pub async fn take(server: &Opts) -> Opts {
    let free = FREE.lock().unwrap().pop();
    match free {
        Some(database) => database,
        None => create(server).await,
    }
}

/// Creates a database with all tables.
pub async fn create(server: &Opts) -> Opts {
    EMPTY.get_or_init(|| statements_that_empty(server)).await;
    migrated(server).await
}

/// Takes back the database of a test whose tasks do not run any more.
pub async fn give_back(server: &Opts, database: Opts) {
    match empty(&database).await {
        Ok(()) => FREE.lock().unwrap().push(database),
        // The test has changed the tables, for instance.
        Err(_) => drop_databases(server, &[database.db_name().unwrap().to_owned()]).await,
    }
}

async fn migrated(server: &Opts) -> Opts {
    let name = format!("{NAME_PREFIX}{}_{:016x}", std::process::id(), rand::random::<u64>());
    let mut connection = connect(server).await;
    connection.query_drop(format!("CREATE DATABASE {name}")).await.unwrap();
    connection.disconnect().await.unwrap();
    let database: Opts = OptsBuilder::from_opts(server.clone()).db_name(Some(name)).into();
    schema::migrate(&database.clone().into()).await.unwrap();
    database
}

async fn empty(database: &Opts) -> mysql_async::Result<()> {
    let mut connection = Conn::new(database.clone()).await?;
    end_other_connections(&mut connection, database.db_name().unwrap()).await?;
    connection.query_drop(EMPTY.get().unwrap()).await?;
    connection.disconnect().await
}

/// Ends what the test left running, so that it cannot write into the database of the next one.
async fn end_other_connections(connection: &mut Conn, name: &str) -> mysql_async::Result<()> {
    loop {
        let all: Vec<Row> = connection.query("SHOW PROCESSLIST").await?;
        let own = connection.id();
        let mut others = all
            .iter()
            .filter(|row| row.get::<Option<String>, _>("db").flatten().as_deref() == Some(name))
            .filter_map(|row| row.get::<u32, _>("Id"))
            .filter(|id| *id != own)
            .peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        for id in others {
            // It fails if the connection has just ended.
            _ = connection.query_drop(format!("KILL {id}")).await;
        }
    }
}

/// Drops the databases of earlier runs, and creates one that is never used, as the model of an empty one.
async fn statements_that_empty(server: &Opts) -> String {
    drop_old_databases(server).await;
    let model = migrated(server).await;
    let model_name = model.db_name().unwrap();
    let mut connection = connect(&model).await;
    let tables: Vec<String> = connection.query("SHOW TABLES").await.unwrap();
    let mut statements = "SET foreign_key_checks = 0;".to_owned();
    for table in &tables {
        statements.push_str(&format!("DELETE FROM {table};"));
        let rows: Option<u64> =
            connection.query_first(format!("SELECT COUNT(*) FROM {table}")).await.unwrap();
        if rows != Some(0) {
            statements.push_str(&format!("INSERT INTO {table} SELECT * FROM {model_name}.{table};"));
        }
    }
    connection.disconnect().await.unwrap();
    statements
}

async fn drop_old_databases(server: &Opts) {
    let mut connection = connect(server).await;
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

async fn connect(opts: &Opts) -> Conn {
    Conn::new(opts.clone()).await.expect("cannot connect to TEST_DATABASE_URL")
}
