//! Where the settings of the process come from.

use std::collections::BTreeMap;
use std::path::Path;

use shared::config::Config;

/// The file of settings in the current folder.
pub(crate) const ENV_FILE: &str = ".env";

/// Returns the variables of the environment, and those variables of a file that the environment does not
/// have.
pub(crate) fn settings(file: &Path) -> BTreeMap<String, String> {
    let from_file = dotenvy::from_path_iter(file).into_iter().flatten().flatten();
    from_file.chain(std::env::vars()).collect()
}

/// Returns the settings that the functions need.
///
/// # Errors
/// All mistakes at once.
pub(crate) fn config() -> Result<Config, String> {
    Config::from(settings(Path::new(ENV_FILE))).map_err(|error| error.to_string())
}

/// Returns `PORT` as it was written.
pub(crate) fn port() -> String {
    let port = settings(Path::new(ENV_FILE)).remove("PORT");
    port.filter(|port| !port.is_empty()).unwrap_or_else(|| "3000".to_owned())
}

/// Returns `LOG_FORMAT`.
pub(crate) fn log_format() -> String {
    let format = settings(Path::new(ENV_FILE)).remove("LOG_FORMAT");
    format.filter(|format| !format.is_empty()).unwrap_or_else(|| "text".to_owned())
}
