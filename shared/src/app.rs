//! What an execution environment keeps from one invocation to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::base::db::{self, Db};
use crate::base::files::Files;
use crate::base::gate::{Gate, WAITING};
use crate::base::ids::{ConnectionId, UserId};
use crate::base::jobs::Jobs;
use crate::base::password::Passwords;
use crate::base::pictures::Pictures;
use crate::base::push::{Process, Push};
use crate::base::singletons::Singletons;
use crate::base::tokens::{AccessTokens, RefreshTokens};
use crate::config::Config;

/// How many posts may go on after their request was answered.
pub(crate) const LATE_POSTS: usize = 1024;

/// Whose requests and frames run at once: a user's share of the database connections (`docs/contract.md`, "Fair
/// shares").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Requester {
    /// A user.
    User(UserId),
    /// A socket whose user this process does not know: API Gateway holds it, or it waits for its CONNECT packet.
    Socket(ConnectionId),
}

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
    /// The server process that holds the sockets. `None` where API Gateway holds them.
    pub process: Option<Process>,
    /// The places for posts that go on after their request was answered.
    pub late_posts: Arc<Semaphore>,
    /// The places for requests and frames that run at once.
    pub requests: Gate<Requester>,
    /// The users of the sockets that this process holds.
    pub users: Arc<Mutex<HashMap<ConnectionId, UserId>>>,
    /// The queues of jobs for other functions.
    pub jobs: Jobs,
    /// The bcrypt hasher.
    pub passwords: Passwords,
    /// What decodes images.
    pub pictures: Pictures,
    /// The keys for access tokens.
    pub access_tokens: Arc<AccessTokens>,
    /// The key for refresh tokens.
    pub refresh_tokens: Arc<RefreshTokens>,
    /// What else all requests of the process share.
    pub singletons: Singletons,
}

impl App {
    /// Creates an app that uses at most `connections` database connections, and the queues of the settings.
    /// Nothing connects yet.
    pub fn new(config: Config, push: Push, connections: usize) -> Self {
        Self {
            db: Db::new(config.database.clone(), connections),
            files: Files::new(config.store.clone()),
            push,
            process: None,
            late_posts: Arc::new(Semaphore::new(LATE_POSTS)),
            requests: Gate::new(db::share(connections), WAITING),
            users: Arc::default(),
            jobs: Jobs::sqs(&config.queues),
            passwords: Passwords::new(config.bcrypt_cost),
            pictures: Pictures::default(),
            access_tokens: Arc::new(AccessTokens::new(&config)),
            refresh_tokens: Arc::new(RefreshTokens::new(&config)),
            singletons: Singletons::default(),
            config: Arc::new(config),
        }
    }

    /// Notes whose socket has opened, if this process holds it.
    pub fn opened(&self, socket: &ConnectionId, user_id: &UserId) {
        if self.push.is_local() {
            self.users().insert(socket.clone(), user_id.clone());
        }
    }

    /// Forgets a socket that has closed.
    pub fn closed(&self, socket: &ConnectionId) {
        self.users().remove(socket);
    }

    /// Returns as whose the frames of a socket run.
    pub fn requester(&self, socket: &ConnectionId) -> Requester {
        let user_id = self.users().get(socket).cloned();
        user_id.map_or_else(|| Requester::Socket(socket.clone()), Requester::User)
    }

    fn users(&self) -> MutexGuard<'_, HashMap<ConnectionId, UserId>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
