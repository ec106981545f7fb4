//! Connections to the database: TLS that is verified, and a writer that became a reader.

use std::path::Path;

use mysql_async::prelude::Queryable;
use serde_json::json;
use shared::base::db::Db;
use shared::base::transaction::Transaction;
use shared::config::Config;
use shared::error::Thing;
use shared::{Error, schema};
use tokio::sync::Notify;

use crate::harness::{Statements, TestApp};

/// The certificate authority of the tests' database server, whose certificate names 127.0.0.1 alone.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the service")]
fn private_ca() -> String {
    std::env::var("TEST_DATABASE_CA").expect("TEST_DATABASE_CA must be set, as scripts/test does")
}

/// Connects with `DB_CA` to the database of `app` at this host, and returns the cipher, empty without TLS.
async fn cipher(app: &TestApp, host: &str, ca: &str) -> Result<String, Error> {
    let mut settings: std::collections::BTreeMap<_, _> = app.settings().into_iter().collect();
    let url = settings.get_mut("DATABASE_URL").unwrap();
    *url = url.replace("127.0.0.1", host);
    settings.insert("DB_CA".to_owned(), ca.to_owned());
    let db = Db::new(Config::from(settings).unwrap().database, 1);
    let status: Option<(String, String)> = db.first("SHOW SESSION STATUS LIKE 'Ssl_cipher'", ()).await?;
    Ok(status.unwrap().1)
}

#[tokio::test]
async fn a_server_with_a_private_ca_is_reached_through_verified_tls() {
    let app = TestApp::start().await;
    assert_ne!(cipher(&app, "127.0.0.1", &private_ca()).await.unwrap(), "");
}

#[tokio::test]
async fn a_server_whose_ca_is_not_the_expected_one_is_refused() {
    let app = TestApp::start().await;
    for ca in ["rds", "web"] {
        let refused = cipher(&app, "127.0.0.1", ca).await.unwrap_err();
        assert!(matches!(refused, Error::DatabaseUnavailable(_)), "{ca}: {refused:?}");
        assert!(format!("{refused:?}").contains("UnknownIssuer"), "{ca}: {refused:?}");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_names_another_host_is_refused() {
    let app = TestApp::start().await;
    let refused = cipher(&app, "localhost", &private_ca()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("NotValidForName"), "{refused:?}");
}

#[tokio::test]
async fn temporary_tables_are_in_the_servers_own_folder() {
    // A server that starts erases the temporary tables of all servers in the system's folder.
    let app = TestApp::start().await;
    let (data, temporary) = app.rows::<(String, String)>("SELECT @@datadir, @@tmpdir").await.remove(0);
    let [data, temporary] = [&data, &temporary].map(Path::new);
    assert_eq!(temporary.parent(), data.parent(), "{}", temporary.display());
}

#[tokio::test]
async fn migrating_leaves_a_database_as_it_is_that_newer_code_has_migrated() {
    let app = TestApp::with_ids_from_1().await;
    app.run(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (999, 'newer', '2026-01-01T00:00:00Z', '1')",
        (),
    )
    .await;
    assert_eq!(app.invoke("migrate", json!({})).await.unwrap(), json!({"applied": []}));
}

#[tokio::test]
async fn the_server_ends_a_connection_that_is_idle_for_five_minutes() {
    let app = TestApp::start().await;
    let seconds =
        app.work_on(async |db: &Db| db.first::<u64>("SELECT @@SESSION.wait_timeout", ()).await).await;
    assert_eq!(seconds.unwrap(), Some(300));
}

/// Inserts a row, says so, and waits for ever.
async fn insert_and_wait(transaction: &mut Transaction, inserted: &Notify) -> Result<(), Error> {
    transaction.query_drop("INSERT INTO presence (user_id) VALUES ('ann')").await?;
    inserted.notify_one();
    std::future::pending().await
}

/// Inserts the same row, and then fails.
async fn insert_and_fail(transaction: &mut Transaction, (): ()) -> Result<(), Error> {
    transaction.query_drop("INSERT INTO presence (user_id) VALUES ('ann')").await?;
    Err(Error::NotFound(Thing::Room))
}

#[tokio::test]
async fn a_transaction_that_fails_or_is_given_up_leaves_neither_rows_nor_locks() {
    let app = TestApp::start().await;
    app.prime("ann").await;
    app.run("DELETE FROM presence", ()).await;
    let db = Db::new(app.database_through(&Statements::default()).await, 1);
    let count = async || db.first::<u8>("SELECT COUNT(*) FROM presence", ()).await.unwrap();
    for _ in 0..2 {
        let inserted = Notify::new();
        tokio::select! {
            ended = db.transaction(&inserted, insert_and_wait) => panic!("{ended:?}"),
            () = inserted.notified() => {}
        }
        assert_eq!(count().await, Some(0));
        let failed = db.transaction((), insert_and_fail).await;
        assert!(matches!(failed, Err(Error::NotFound(_))), "{failed:?}");
        // Another connection does not wait for the row.
        app.run("INSERT INTO presence (user_id) VALUES ('ann')", ()).await;
        assert_eq!(count().await, Some(1));
        app.run("DELETE FROM presence", ()).await;
    }
}

#[tokio::test]
async fn writes_go_on_with_the_new_writer_after_a_failover() {
    let statements = Statements::default();
    let app = TestApp::counted(&statements).await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for (path, body) in [
        // A transaction.
        ("/api/messages", json!({"roomId": room, "content": "Hello"})),
        // Statements by themselves.
        ("/api/ws-ticket", json!({})),
    ] {
        statements.make_the_server_read_only();
        statements.take();
        ann.post(path, body).await.created();
        let sent = statements.take();
        let writes = sent.iter().filter(|sql| sql.starts_with("INSERT") || sql.starts_with("UPDATE")).count();
        assert!(writes > 1, "no write was refused: {sent:?}");
    }
    app.invariants_hold().await;
}

/// A server that is killed between a migration's work and its record runs the migration once more.
#[tokio::test]
async fn migrations_that_were_not_recorded_run_again() {
    let app = TestApp::start().await;
    let later = "FROM refinery_schema_history WHERE version > 8";
    let number: u64 = app.rows(&format!("SELECT COUNT(*) {later}")).await[0];
    app.run(&format!("DELETE {later}"), ()).await;
    let database = Config::from(app.settings().into_iter().collect()).unwrap().database;
    assert_eq!(schema::migrate(&database).await.unwrap().len() as u64, number);
    assert_eq!(schema::migrate(&database).await.unwrap(), Vec::<String>::new());
}
