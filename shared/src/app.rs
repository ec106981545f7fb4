//! What an execution environment keeps from one invocation to the next.

use std::sync::Arc;

use tokio::sync::watch;

use crate::base::db::Db;
use crate::base::files::Files;
use crate::base::password::Passwords;
use crate::base::push::Push;
use crate::base::tokens::{AccessTokens, RefreshTokens};
use crate::config::Config;

/// Everything that a handler needs. Clones share it.
#[derive(Clone, Debug)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// MySQL.
    pub db: Db,
    /// The object store.
    pub files: Files,
    /// The transport to the sockets.
    pub push: Push,
    /// The bcrypt hasher.
    pub passwords: Passwords,
    /// The keys for access tokens.
    pub access_tokens: Arc<AccessTokens>,
    /// The key for refresh tokens.
    pub refresh_tokens: Arc<RefreshTokens>,
    /// Whether the process is about to end.
    pub(crate) ending: Arc<watch::Sender<bool>>,
}

impl App {
    /// Creates an app that uses at most `connections` database connections. Nothing connects yet.
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
}
