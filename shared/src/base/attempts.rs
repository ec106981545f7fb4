//! Attempts at passwords: at most so many wrong ones in a window of time (`docs/contract.md`, "Rate limits").
//!
//! An attempt takes a place before the password is checked, or else many at once would all be checked. A right password
//! gives the place back, a wrong one keeps it until the window ends. Right passwords therefore lock nobody out, however
//! many are checked at once.

use std::time::Duration;

use mysql_async::params;
use tokio::time::{Instant, sleep};

use crate::base::db::{Db, rows};
use crate::base::password::Turn;
use crate::base::rate_limit::{ATTEMPT, COUNT_BITS, Count, Limited, MOST};
use crate::config::{Limit, Limits};
use crate::{Error, Result};

/// How long an attempt waits for a place that others may give back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks a password while the attempt has a place in the window of each of these. `check` gets the password's turn, and
/// returns what it found; `None` means that the password was wrong.
///
/// # Errors
/// [`Error::RateLimited`] when one of them allows no more failures, [`Error::Overloaded`] when others hold all places
/// for too long, and the errors of `check`, which count as no failure.
pub(crate) async fn attempt<T>(
    db: &Db,
    limits: &Limits,
    limited: &[Limited<'_>],
    check: impl AsyncFnOnce(Turn) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let on = limited.iter().filter_map(|&limited| Some((limited, limited.limit(limits)?)));
    let windows: Vec<(Limited<'_>, Limit)> = on.collect();
    let until = Instant::now() + PATIENCE;
    let mut turn = Turn::Usual;
    for (index, &(limited, limit)) in windows.iter().enumerate() {
        match take_place(db, limited, limit, until).await {
            Ok(0) => {}
            Ok(_) => turn = Turn::Guess,
            Err(error) => {
                give_back(db, &windows[..index]).await?;
                return Err(error);
            }
        }
    }
    let found = check(turn).await;
    match &found {
        Ok(None) => keep(db, &windows).await?,
        Ok(Some(_)) | Err(_) => give_back(db, &windows).await?,
    }
    found
}

/// Takes a place in a window. Returns how many failures the window has.
async fn take_place(db: &Db, limited: Limited<'_>, limit: Limit, until: Instant) -> Result<u32> {
    let mut pause = Duration::from_millis(25);
    loop {
        let count = Count::now(limit);
        let under_way = count.now.saturating_sub(ATTEMPT.as_millis() as u64) << COUNT_BITS;
        let done = db
            .execute(
                "INSERT INTO rate_limits (name, subject, tally, attempts)
                 VALUES (:name, :subject, LAST_INSERT_ID(0), :first)
                 ON DUPLICATE KEY UPDATE
                     tally = LAST_INSERT_ID(tally),
                     attempts = IF(IF(tally < :closed, 0, tally & :most)
                                     + IF(attempts < :under_way, 0, attempts & :most) < :count,
                                   IF(attempts < :under_way, :first, :first + (attempts & :most)),
                                   attempts)",
                params! {
                    "name" => limited.name(),
                    "subject" => limited.subject(),
                    "first" => (count.now << COUNT_BITS) + 1,
                    "closed" => count.closed,
                    "most" => MOST,
                    "count" => limit.count,
                    under_way,
                },
            )
            .await?;
        let tally = done.last_insert_id.unwrap_or(0);
        if done.affected_rows > 0 {
            return Ok(count.used(tally));
        }
        if count.used(tally) >= limit.count {
            return Err(Error::RateLimited(count.standing(limit, tally)));
        }
        if Instant::now() + pause > until {
            return Err(Error::Overloaded { retry_after: 1 });
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Gives the places back.
async fn give_back(db: &Db, windows: &[(Limited<'_>, Limit)]) -> Result<()> {
    if windows.is_empty() {
        return Ok(());
    }
    let mut params: Vec<mysql_async::Value> =
        windows.iter().flat_map(|(limited, _)| [limited.name().into(), limited.subject().into()]).collect();
    params.push(MOST.into());
    let places = rows("(?, ?)", windows.len());
    let sql = format!(
        "UPDATE rate_limits SET attempts = attempts - 1 WHERE (name, subject) IN ({places}) AND attempts & ? > 0"
    );
    db.execute(&sql, params).await.map(drop)
}

/// Turns the places into failures.
async fn keep(db: &Db, windows: &[(Limited<'_>, Limit)]) -> Result<()> {
    for &(limited, limit) in windows {
        let count = Count::now(limit);
        db.execute(
            "UPDATE rate_limits
             SET tally = IF(tally < :closed, :fresh, tally + 1), attempts = attempts - (attempts & :most > 0)
             WHERE name = :name AND subject = :subject",
            params! {
                "closed" => count.closed,
                "fresh" => count.fresh,
                "most" => MOST,
                "name" => limited.name(),
                "subject" => limited.subject(),
            },
        )
        .await?;
    }
    Ok(())
}
