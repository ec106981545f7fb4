//! `coterie dev`: sets up and serves Coterie, given a database server, and prints a session to copy.
//! `scripts/dev` builds and runs it.

mod lambda;
mod options;
mod process;
mod secrets;
mod terminal;

pub(crate) use options::Options;

use shared::config::Config;
use terminal::{greet, port_of, say};
use tokio::net::TcpStream;

use crate::serve::{listen, migrate, serve};
use crate::settings::settings;

/// The defaults that differ from `coterie serve`.
const DEFAULTS: [(&str, &str); 2] = [("SIGNUP_GRANTS", "open"), ("REGISTER_LIMIT", "0")];

/// Creates the secrets and the schema, and serves until Ctrl-C.
///
/// # Errors
/// A message for the user.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    if options.has_database {
        let settings = settings(&options.env_file);
        let is_set = |name| settings.get(name).is_some_and(|value: &String| !value.is_empty());
        let named = is_set("DATABASE_URL") || is_set("DB_HOST");
        return if named { Ok(()) } else { Err("Neither DATABASE_URL nor DB_HOST is set.".to_owned()) };
    }
    process::end(&lambda::pid_file(&options.folder)).await?;
    secrets::add_missing(&options.env_file)?;
    let mut settings = settings(&options.env_file);
    for (name, value) in DEFAULTS {
        let setting = settings.entry(name.to_owned()).or_default();
        if setting.is_empty() {
            value.clone_into(setting);
        }
    }
    let config = Config::from(settings.clone()).map_err(|error| error.to_string())?;
    let port = config.server.port;
    if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        return Err(format!(
            "Port {port} is in use by another program. Choose another: PORT={} scripts/dev",
            port.saturating_add(1)
        ));
    }

    say("Migrating the database");
    migrate(&config).await?;
    if options.lambda {
        return lambda::run(&options, settings, port).await;
    }
    say("Serving");
    let listener = listen(&config.server, false).await?;
    let greeted = greet(port_of(&listener)?, options.page().is_some());
    tokio::select! {
        served = serve(config, listener, None, &options.uploads, options.page()) => served,
        Err(error) = greeted => Err(error),
    }
}
