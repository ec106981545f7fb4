//! The options of `coterie dev`.

use std::path::PathBuf;

use clap::Args;

use crate::settings::ENV_FILE;

#[derive(Args)]
pub(crate) struct Options {
    /// Run each function as processes of its own, under `cargo lambda watch`.
    #[arg(long)]
    pub(super) lambda: bool,
    /// Do not rebuild the functions when their code changes.
    #[arg(long, requires = "lambda")]
    pub(super) ignore_changes: bool,
    /// The folder for the log and the process id of `cargo lambda watch`.
    #[arg(long, value_name = "FOLDER", default_value = ".local/lambda")]
    pub(super) folder: PathBuf,
    /// Where files are kept, unless `UPLOADS_BUCKET` names another store.
    #[arg(long, value_name = "FOLDER", default_value = ".local/uploads")]
    pub(super) uploads: PathBuf,
    /// The file of settings. The environment wins over it; missing secrets are added to it.
    #[arg(long, value_name = "FILE", default_value = ENV_FILE)]
    pub(super) env_file: PathBuf,
    /// Only check that the settings name a database.
    #[arg(long, hide = true)]
    pub(super) has_database: bool,
}
