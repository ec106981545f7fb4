//! The keys by which users are found by their names (`docs/contract.md`, "Searching users").
//!
//! A name has a key for its beginning, and one for the beginning of each further word. They are rows of
//! `name_keys`, so that a search reads one range of an index. The name that the rows were made of stands
//! with the user, and the database compares the two: a user whom an older version of the service registered
//! or renamed is found by `needs_keys`, and gets them from [`fill`].

use mysql_async::Value;
use mysql_async::prelude::Queryable;
use unicode_segmentation::UnicodeSegmentation;

use crate::Result;
use crate::base::db::{Db, places, rows};
use crate::base::ids::UserId;
use crate::base::text::key;
use crate::base::transaction::Transaction;

/// The most keys of one name.
const MOST: usize = 8;
/// How many users one transaction of [`fill`] gives their keys.
const BATCH: u32 = 200;

/// Returns the beginnings by which a name is found.
fn keys(name: &str) -> Vec<String> {
    let whole = key(name);
    let words = whole.unicode_word_indices().filter(|&(place, _)| place > 0);
    let beginnings: Vec<_> = words.take(MOST - 1).map(|(place, _)| whole[place..].to_owned()).collect();
    [vec![whole], beginnings].concat()
}

/// Inserts the keys of a user who has none. `keyed_name` in the user's row is for the caller to set.
///
/// # Errors
/// The database's errors.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    organization_id: u64,
    user_id: &UserId,
    name: &str,
) -> Result<()> {
    let (sql, values) = insertion([(organization_id, user_id, name)]);
    Ok(transaction.exec_drop(sql, values).await?)
}

/// Replaces the keys of a user. `keyed_name` in the user's row is for the caller to set.
///
/// # Errors
/// The database's errors.
pub(crate) async fn replace(
    transaction: &mut Transaction,
    organization_id: u64,
    user_id: &UserId,
    name: &str,
) -> Result<()> {
    transaction.exec_drop("DELETE FROM name_keys WHERE user_id = ?", (user_id,)).await?;
    insert(transaction, organization_id, user_id, name).await
}

/// Returns the statement that inserts the keys of these users, and its values.
fn insertion<'a>(users: impl IntoIterator<Item = (u64, &'a UserId, &'a str)>) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    for (organization_id, user_id, name) in users {
        for key in keys(name) {
            values.extend([organization_id.into(), key.into(), user_id.into()]);
        }
    }
    let rows = rows("(?, ?, ?)", values.len() / 3);
    (format!("INSERT INTO name_keys (organization_id, name_key, user_id) VALUES {rows}"), values)
}

/// Gives the users whose keys are missing, or are those of an earlier name, their keys, in at most so many
/// batches. Returns how many users got them.
///
/// # Errors
/// The database's errors.
pub(crate) async fn fill(db: &Db, most_batches: usize) -> Result<u64> {
    let mut filled = 0;
    for _ in 0..most_batches {
        let sql = "SELECT user_id FROM users FORCE INDEX (users_needs_keys) WHERE needs_keys = TRUE LIMIT ?";
        let user_ids: Vec<UserId> = db.rows(sql, (BATCH,)).await?;
        if user_ids.is_empty() {
            break;
        }
        filled += user_ids.len() as u64;
        db.transaction(user_ids.as_slice(), fill_batch).await?;
    }
    Ok(filled)
}

async fn fill_batch(transaction: &mut Transaction, user_ids: &[UserId]) -> Result<()> {
    let (places, ids) = (places(user_ids.len()), user_ids.iter().map(Value::from).collect::<Vec<_>>());
    let sql = format!(
        "SELECT organization_id, user_id, name FROM users FORCE INDEX (PRIMARY)
         WHERE user_id IN ({places}) ORDER BY user_id FOR UPDATE"
    );
    let users: Vec<(u64, UserId, String)> = transaction.exec(sql, ids.clone()).await?;
    transaction.exec_drop(format!("DELETE FROM name_keys WHERE user_id IN ({places})"), ids.clone()).await?;
    let users =
        users.iter().map(|(organization_id, user_id, name)| (*organization_id, user_id, name.as_str()));
    let (insert, values) = insertion(users);
    transaction.exec_drop(insert, values).await?;
    let sql = format!("UPDATE users SET keyed_name = name WHERE user_id IN ({places})");
    Ok(transaction.exec_drop(sql, ids).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_each_of_its_words() {
        for (name, expected) in [
            ("Zoe\u{308}  van Dyk", &["zoë van dyk", "van dyk", "dyk"][..]),
            ("ΣΊΣΥΦΟΣ", &["σίσυφοσ"]),
            ("!Bob\\", &["!bob\\", "bob\\"]),
            ("100% Ann", &["100% ann", "ann"]),
            ("李小龙", &["李小龙", "小龙", "龙"]),
            ("👍", &["👍"]),
        ] {
            assert_eq!(keys(name), expected, "{name}");
        }
        assert_eq!(keys(&"a ".repeat(50)).len(), MOST);
    }
}
