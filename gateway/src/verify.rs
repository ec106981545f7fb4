//! `coterie verify`: whether everything that is stored fits together.

use std::path::Path;

use gateway::store::Store;
use shared::App;
use shared::base::push::Push;
use shared::config::{Config, ConnectionLimits};
use shared::verify::{self, Wrong};
use tokio::net::TcpListener;

use crate::errors::unreachable_database;

/// One for the snapshot, and one for each object that is looked at again.
const DATABASE_CONNECTIONS: usize = 9;

/// Prints every row and every file that is wrong.
///
/// # Errors
/// Something is wrong, or it cannot be read.
pub(crate) async fn verify(mut config: Config, uploads: &Path) -> Result<(), String> {
    if config.store.bucket.is_none() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
        let store = Store::new(uploads, listener, Store::random_keys())?;
        config.store = store.config();
        tokio::spawn(store.serve(ConnectionLimits::default()));
    }
    let app = App::new(config, Push::management(None), DATABASE_CONNECTIONS);
    let mut count = 0_u64;
    let mut print = |wrong: Wrong| {
        count += 1;
        println!("{wrong}");
    };
    verify::verify(&app, &mut print).await.map_err(unreachable_database)?;
    match count {
        0 => {
            println!("nothing is wrong");
            Ok(())
        }
        1 => Err("one thing is wrong".to_owned()),
        count => Err(format!("{count} things are wrong")),
    }
}
