//! `coterie operator …`: what only the operator may, said and answered in a terminal.

use clap::{ArgGroup, Args, Subcommand};
use shared::base::db::Db;
use shared::base::ids::UserId;
use shared::config::Config;
use shared::error::Thing;
use shared::people::coins::{Delta, GrantReason, IdempotencyKey};
use shared::people::operator::{self, Report};

use crate::unreachable_database;

/// What the operator wants.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a user an admin of their organization.
    ///
    /// This also makes the first admin of `public`. An admin changes the roles of the organization's
    /// other users with PATCH /api/users/{userId}.
    MakeAdmin {
        /// The user, by the userId that GET /api/profile/me shows to them.
        #[arg(value_parser = user_id)]
        user_id: UserId,
    },
    /// Give a user coins or the prime flag, or take them.
    Grant(Grant),
}

/// A grant to one user.
#[derive(Args)]
#[command(group(ArgGroup::new("what").args(["coins", "prime"]).multiple(true).required(true)))]
pub(crate) struct Grant {
    /// The user, by the userId that GET /api/profile/me shows to them.
    #[arg(value_parser = user_id)]
    user_id: UserId,
    /// Give so many coins; a negative number takes them.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = delta)]
    coins: Option<Delta>,
    /// Make the user prime, or not.
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    prime: Option<bool>,
    /// Why coins are given, for the user's ledger: 1 to 64 characters [default: granted by the operator].
    #[arg(long, value_name = "TEXT", requires = "coins", value_parser = reason)]
    reason: Option<GrantReason>,
    /// Name the grant of coins: the same one again under the same key changes nothing.
    #[arg(long, value_name = "KEY", requires = "coins", value_parser = idempotency_key)]
    idempotency_key: Option<IdempotencyKey>,
}

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::try_from(text.to_owned())
}

fn delta(text: &str) -> Result<Delta, String> {
    // What is no number is refused as 0 is.
    Delta::try_from(text.parse().unwrap_or(0))
}

fn reason(text: &str) -> Result<GrantReason, String> {
    GrantReason::try_from(text.to_owned())
}

fn idempotency_key(text: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::try_from(text.to_owned())
}

/// Does what the operator wants, and says what was done.
pub(crate) async fn run(config: Config, command: Command) -> Result<(), String> {
    let command = match command {
        Command::MakeAdmin { user_id } => operator::Command::MakeAdmin { user_id },
        Command::Grant(Grant { user_id, coins, prime, reason, idempotency_key }) => {
            operator::Command::Grant { user_id, coins, prime, reason, idempotency_key }
        }
    };
    let db = Db::new(config.database, 1);
    let done = operator::run(&db, &command).await;
    db.disconnect().await.map_err(unreachable_database)?;
    println!("{}", said(&command, &done.map_err(|error| refused(&command, error))?));
    Ok(())
}

fn said(command: &operator::Command, report: &Report) -> String {
    let Report { user_id, organization, avail_coins, granted, changed, .. } = report;
    match command {
        operator::Command::MakeAdmin { .. } => {
            let is = if *changed { "is now" } else { "was already" };
            format!("{user_id} {is} an admin of the organization `{}`", organization.name)
        }
        operator::Command::Grant { coins, prime, .. } => {
            let flag = prime.map(|prime| format!("{user_id} is {}prime", if prime { "" } else { "not " }));
            let balance = coins.map(|_| match granted {
                0 => format!("{user_id} has {avail_coins} coins; this grant had been made before, and was not made again"),
                granted => format!("{user_id} has {avail_coins} coins ({granted:+})"),
            });
            flag.into_iter().chain(balance).collect::<Vec<_>>().join("\n")
        }
    }
}

/// An error, and what the operator can do next.
fn refused(command: &operator::Command, error: shared::Error) -> String {
    let (operator::Command::MakeAdmin { user_id } | operator::Command::Grant { user_id, .. }) = command;
    match error {
        shared::Error::NotFound(Thing::User) => format!(
            "nobody has the userId `{user_id}`. It compares letter by letter, and GET /api/profile/me shows \
             everybody their own"
        ),
        shared::Error::InsufficientCoins { available, .. } => {
            format!("{user_id} has only {available} coins: take no more than --coins -{available}")
        }
        shared::Error::IdempotencyKeyReused => {
            "another grant to this user had this --idempotency-key: choose another key, or repeat that grant \
             with the same --coins and --reason"
                .to_owned()
        }
        shared::Error::Internal(cause) => {
            format!("{cause}. If that is a table or column that does not exist, run `coterie migrate`")
        }
        error => unreachable_database(error),
    }
}
