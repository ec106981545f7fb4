//! Errors that more than one subcommand reports.

/// Describes an error for the operator, who may see the cause that is hidden from clients.
pub(crate) fn unreachable_database(error: shared::Error) -> String {
    match error {
        shared::Error::DatabaseUnavailable(cause) => format!(
            "cannot use the database at DATABASE_URL: {cause}. Run `scripts/dev`, which starts one, or start \
             the database yourself and check the URL"
        ),
        shared::Error::Internal(cause) => cause.to_string(),
        error => error.to_string(),
    }
}
