//! What an execution environment keeps between invocations.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::auth::access_token::AccessTokens;
use crate::auth::password::Passwords;
use crate::auth::session::RefreshTokens;
use crate::config::Config;
use crate::db::Db;
use crate::files::Files;
use crate::push::Push;

/// Everything that a handler needs. Clones share it.
#[derive(Clone, Debug)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// MySQL.
    pub db: Db,
    /// The object store.
    pub files: Files,
    /// The way to the sockets.
    pub push: Push,
    /// bcrypt.
    pub passwords: Passwords,
    /// The keys of access tokens.
    pub access_tokens: Arc<AccessTokens>,
    /// The key of refresh tokens.
    pub refresh_tokens: Arc<RefreshTokens>,
    /// Whether the process is about to end.
    ending: Arc<watch::Sender<bool>>,
}

impl App {
    /// An app that uses at most `connections` of the database's connections. Nothing connects yet.
    pub fn new(config: Config, push: Push, connections: usize) -> Self {
        Self {
            db: Db::new(config.database.clone(), connections),
            files: Files::new(config.store.clone()),
            push,
            passwords: Passwords::new(config.bcrypt_cost),
            access_tokens: Arc::new(AccessTokens::new(&config)),
            refresh_tokens: Arc::new(RefreshTokens::new(&config)),
            config: Arc::new(config),
            ending: Arc::default(),
        }
    }

    /// Waits so long, or until [`App::end_pauses`]. Answers the time, or zero when it was cut short.
    pub async fn pause(&self, time: Duration) -> Duration {
        let mut ending = self.ending.subscribe();
        match tokio::time::timeout(time, ending.wait_for(|&ending| ending)).await {
            Err(_) => time,
            Ok(_) => Duration::ZERO,
        }
    }

    /// Ends every pause, now and from now on: the process is about to end, and what it has begun is
    /// done at once.
    pub fn end_pauses(&self) {
        self.ending.send_replace(true);
    }
}
