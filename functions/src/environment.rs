//! A Lambda execution environment: the [`App`] that its invocations share, and the secrets that it was made with.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use shared::App;
use shared::base::push::Push;
use shared::base::secrets;
use shared::config::Config;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long the start of an environment waits for the database. The first request waits for both, so with the 5
/// seconds of a connection it still has an answer in 6.
const FIRST_CONNECTION: Duration = Duration::from_secs(1);

/// What an environment keeps from one invocation to the next.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The environment variables.
    variables: BTreeMap<String, String>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    app: App,
    /// A hash would do, but the app has them in clear anyway.
    settings: Settings,
    /// By the clock of the wall: the other one may stand still while Lambda freezes the environment.
    read_at: SystemTime,
}

/// The environment variables and what the secrets contain. `Debug` shows neither.
#[derive(PartialEq, Eq)]
struct Settings(BTreeMap<String, String>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settings(…)")
    }
}

impl Environment {
    /// Reads the settings and their secrets, and connects to the database. Lambda gives this phase a whole
    /// processor. A database that does not answer soon is no reason not to start: the invocations report it.
    ///
    /// # Errors
    /// Wrong settings, or a secret that cannot be read.
    pub(crate) async fn start() -> Result<Self, lambda_runtime::Error> {
        let variables: BTreeMap<_, _> = std::env::vars().collect();
        let settings = secrets::read(&variables).await?;
        let app = app(settings.clone())?;
        let db = app.db.clone();
        // This goes on when the time is over, and the first request takes the connection.
        let connecting = tokio::spawn(async move {
            if let Err(error) = db.connect().await {
                tracing::warn!(%error, "the database does not answer");
            }
        });
        _ = timeout(FIRST_CONNECTION, connecting).await;
        let kept = Kept { app, settings: Settings(settings), read_at: SystemTime::now() };
        Ok(Self { variables, kept: Mutex::new(kept) })
    }

    /// Returns the app. Secrets older than `SECRETS_SECONDS` are read again first; if they have changed, it is a
    /// new app. If they cannot be read, the invocation goes on with the old ones.
    pub(crate) async fn app(&self) -> App {
        let mut kept = self.kept.lock().await;
        let age = kept.read_at.elapsed().unwrap_or_default();
        if age < kept.app.config.secrets_age || !secrets::are_named(&self.variables) {
            return kept.app.clone();
        }
        match self.read_again(&kept.settings).await {
            Ok(Some((app, settings))) => {
                let old = std::mem::replace(&mut kept.app, app);
                kept.settings = settings;
                tokio::spawn(old.db.disconnect());
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the secrets cannot be read again"),
        }
        kept.read_at = SystemTime::now();
        kept.app.clone()
    }

    /// Returns a new app if the secrets differ from these.
    async fn read_again(&self, old: &Settings) -> Result<Option<(App, Settings)>, lambda_runtime::Error> {
        let settings = Settings(secrets::read(&self.variables).await?);
        if settings == *old {
            return Ok(None);
        }
        Ok(Some((app(settings.0.clone())?, settings)))
    }
}

fn app(settings: BTreeMap<String, String>) -> Result<App, lambda_runtime::Error> {
    let config = Config::of_function(settings)?;
    let push = Push::management(config.management_endpoint.clone());
    // An environment runs one event at a time, so it can use only one connection.
    Ok(App::new(config, push, 1))
}
