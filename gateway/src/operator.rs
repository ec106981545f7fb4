//! `coterie operator …`: what only the operator may do.

use clap::{ArgGroup, Args, Subcommand};
use shared::base::db::Db;
use shared::base::ids::UserId;
use shared::config::Config;
use shared::error::Thing;
use shared::people::coins::{Delta, GrantReason, IdempotencyKey};
use shared::people::operator::{self, OperatorCommand, Report};

use crate::errors::unreachable_database;

/// The operator's commands.
#[derive(Subcommand)]
pub(crate) enum OperatorArguments {
    /// Make a user an admin of their organization.
    ///
    /// This is also the way to appoint the first admin of the organization `public`. An admin can then
    /// change the roles of other users of the organization with PATCH /api/users/{userId}.
    MakeAdmin {
        /// The user's userId, which GET /api/profile/me shows to them.
        #[arg(value_parser = user_id)]
        user_id: UserId,
    },
    /// Give coins or the prime flag to a user, or take them away.
    Grant(GrantArguments),
}

/// A grant to one user.
#[derive(Args)]
#[command(group(ArgGroup::new("what").args(["coins", "prime"]).multiple(true).required(true)))]
pub(crate) struct GrantArguments {
    /// The user's userId, which GET /api/profile/me shows to them.
    #[arg(value_parser = user_id)]
    user_id: UserId,
    /// The number of coins to give; a negative number takes coins away.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = delta)]
    coins: Option<Delta>,
    /// Whether the user is prime.
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    prime: Option<bool>,
    /// The reason for the user's ledger, 1 to 64 characters [default: granted by the operator].
    #[arg(long, value_name = "TEXT", requires = "coins", value_parser = reason)]
    reason: Option<GrantReason>,
    /// A key for this grant of coins. Repeating the grant with the same key changes nothing.
    #[arg(long, value_name = "KEY", requires = "coins", value_parser = idempotency_key)]
    idempotency_key: Option<IdempotencyKey>,
}

fn user_id(text: &str) -> Result<UserId, String> {
    UserId::try_from(text.to_owned())
}

fn delta(text: &str) -> Result<Delta, String> {
    // Text that is not a number is refused as 0 is, with the same message.
    Delta::try_from(text.parse().unwrap_or(0))
}

fn reason(text: &str) -> Result<GrantReason, String> {
    GrantReason::try_from(text.to_owned())
}

fn idempotency_key(text: &str) -> Result<IdempotencyKey, String> {
    IdempotencyKey::try_from(text.to_owned())
}

/// Runs a command and prints its outcome.
pub(crate) async fn run(config: Config, command: OperatorArguments) -> Result<(), String> {
    let command = match command {
        OperatorArguments::MakeAdmin { user_id } => OperatorCommand::MakeAdmin { user_id },
        OperatorArguments::Grant(GrantArguments { user_id, coins, prime, reason, idempotency_key }) => {
            OperatorCommand::Grant { user_id, coins, prime, reason, idempotency_key }
        }
    };
    let db = Db::new(config.database, 1);
    let result = operator::run(&db, &command).await;
    db.disconnect().await.map_err(unreachable_database)?;
    println!("{}", outcome(&command, &result.map_err(|error| error_text(&command, error))?));
    Ok(())
}

fn outcome(command: &OperatorCommand, report: &Report) -> String {
    let Report { user_id, organization, avail_coins, granted, changed, .. } = report;
    match command {
        OperatorCommand::MakeAdmin { .. } => {
            let is = if *changed { "is now" } else { "was already" };
            format!("{user_id} {is} an admin of the organization `{}`", organization.name)
        }
        OperatorCommand::Grant { coins, prime, .. } => {
            let flag = prime.map(|prime| format!("{user_id} is {}prime", if prime { "" } else { "not " }));
            let balance = coins.map(|_| match granted {
                0 => format!(
                    "{user_id} has {avail_coins} coins; this grant had been made before and was not repeated"
                ),
                granted => format!("{user_id} has {avail_coins} coins ({granted:+})"),
            });
            flag.into_iter().chain(balance).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Describes an error, and what the operator can do next.
fn error_text(command: &OperatorCommand, error: shared::Error) -> String {
    let (OperatorCommand::MakeAdmin { user_id } | OperatorCommand::Grant { user_id, .. }) = command;
    match error {
        shared::Error::NotFound(Thing::User) => format!(
            "nobody has the userId `{user_id}`. Letter case matters, and GET /api/profile/me shows each user \
             their own userId"
        ),
        shared::Error::InsufficientCoins { available, .. } => {
            format!("{user_id} has only {available} coins: take no more than --coins -{available}")
        }
        shared::Error::IdempotencyKeyReused => {
            "another grant to this user used this --idempotency-key: choose another key, or repeat that grant \
             with the same --coins and --reason"
                .to_owned()
        }
        shared::Error::Internal(cause) => {
            format!("{cause}. If a table or column does not exist, run `coterie migrate`")
        }
        error => unreachable_database(error),
    }
}
