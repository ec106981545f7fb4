//! The options of `coterie dev`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::settings::ENV_FILE;

#[derive(Args)]
pub(crate) struct Options {
    /// Run each function in separate processes, under `cargo lambda watch`.
    #[arg(long)]
    pub(super) lambda: bool,
    /// Do not rebuild the functions when their code changes.
    #[arg(long, requires = "lambda")]
    pub(super) ignore_changes: bool,
    /// Where to keep the log and the process id of `cargo lambda watch`.
    #[arg(long, value_name = "FOLDER", default_value = ".local/lambda")]
    pub(super) folder: PathBuf,
    /// Where to keep uploaded files, unless `UPLOADS_BUCKET` names another store.
    #[arg(long, value_name = "FOLDER", default_value = ".local/uploads")]
    pub(super) uploads: PathBuf,
    /// Serve the built page in this folder at `/`, if it is there.
    #[arg(long, value_name = "FOLDER", default_value = "web/dist")]
    pub(super) web: PathBuf,
    /// The settings that are not in the environment. Missing secrets are added to this file.
    #[arg(long, value_name = "FILE", default_value = ENV_FILE)]
    pub(super) env_file: PathBuf,
    /// Only check whether the settings name a database.
    #[arg(long, hide = true)]
    pub(super) has_database: bool,
}

impl Options {
    /// The folder of the page, if it was built.
    pub(super) fn page(&self) -> Option<&Path> {
        self.web.join("index.html").is_file().then_some(&self.web)
    }
}
