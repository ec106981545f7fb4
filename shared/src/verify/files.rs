//! What must hold between rows and the object store: every file of a message and every avatar is there, and nothing else.
//!
//! A row comes before its bytes and goes after them, so an object without a row is wrong too. What was posted and not
//! checked yet (`incoming/`) belongs to nobody, and the sweep erases it.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use mysql_async::{Value, params};

use crate::Result;
use crate::app::App;
use crate::base::db::places;
use crate::base::ids::UploadId;
use crate::uploads::avatars;
use crate::uploads::row::{CHECKED, checked_key, thumbnail_key};
use crate::verify::snapshot::{PORTION, Snapshot, Wrong};

/// How many objects are asked for at once.
const CONCURRENT: usize = 8;

/// An upload that is sent: its id, the end of its object's key, its size, and whether it has a thumbnail.
type Sent = (UploadId, String, u64, bool);

const SENT: &str =
    "SELECT upload_id, object_key, size, thumbnail IS NOT NULL FROM uploads FORCE INDEX (PRIMARY)
                    WHERE upload_id > :after AND seq IS NOT NULL AND object_key IS NOT NULL
                    ORDER BY upload_id LIMIT :portion";
/// A table of those who have avatars.
struct Owners {
    table: &'static str,
    /// Those after a key, with the keys of their avatars.
    portion: &'static str,
    /// What every key comes after.
    first: &'static str,
    /// Finds whether an owner still has an avatar.
    still: &'static str,
}

const OWNERS: [Owners; 2] = [
    Owners {
        table: "users",
        portion: "SELECT user_id, avatar_key FROM users FORCE INDEX (PRIMARY)
                  WHERE user_id > :after AND avatar_key IS NOT NULL ORDER BY user_id LIMIT :portion",
        first: "",
        still: "SELECT 1 FROM users WHERE user_id = ? AND avatar_key = ?",
    },
    Owners {
        table: "rooms",
        portion: "SELECT CAST(id AS CHAR), avatar_key FROM rooms FORCE INDEX (PRIMARY)
                  WHERE id > CAST(:after AS UNSIGNED) AND avatar_key IS NOT NULL ORDER BY id LIMIT :portion",
        first: "0",
        still: "SELECT 1 FROM rooms WHERE id = CAST(? AS UNSIGNED) AND avatar_key = ?",
    },
];

/// Reports files and avatars that are missing or have another size, and objects that are nobody's.
pub(super) async fn verify(
    app: &App,
    snapshot: &mut Snapshot,
    report: &mut (dyn FnMut(Wrong) + Send),
) -> Result<()> {
    files(app, snapshot, report).await?;
    for owners in &OWNERS {
        avatars_of(app, snapshot, owners, report).await?;
    }
    strays(app, CHECKED, UPLOADS, report).await?;
    strays(app, avatars::PREFIX, AVATARS, report).await
}

async fn files(app: &App, snapshot: &mut Snapshot, report: &mut (dyn FnMut(Wrong) + Send)) -> Result<()> {
    let mut after = String::new();
    loop {
        let params = params! { "after" => after, "portion" => PORTION };
        let sent: Vec<Sent> = snapshot.rows(SENT, params).await?;
        let Some((last, ..)) = sent.last() else { return Ok(()) };
        after = last.to_string();
        let looks = sent.iter().map(|sent| file(app, sent));
        let found: Vec<Option<Wrong>> = stream::iter(looks).buffered(CONCURRENT).try_collect().await?;
        found.into_iter().flatten().for_each(&mut *report);
    }
}

/// Looks at the objects of an upload.
async fn file(app: &App, (upload_id, object_key, size, has_thumbnail): &Sent) -> Result<Option<Wrong>> {
    let key = checked_key(upload_id, object_key);
    let what = match app.files.size(&key).await? {
        None => format!("its file {key} is not in the store"),
        Some(found) if found != *size => format!("its file {key} has {found} bytes instead of {size}"),
        Some(_) if !has_thumbnail => return Ok(None),
        Some(_) => {
            let thumbnail = thumbnail_key(upload_id, object_key);
            if app.files.size(&thumbnail).await?.is_some() {
                return Ok(None);
            }
            format!("its thumbnail {thumbnail} is not in the store")
        }
    };
    // Its message may have been deleted meanwhile.
    let is_sent = "SELECT 1 FROM uploads WHERE upload_id = ? AND seq IS NOT NULL";
    let is_sent: Option<u8> = app.db.first(is_sent, (upload_id,)).await?;
    Ok(is_sent.map(|_| Wrong { table: "uploads", key: upload_id.to_string(), what }))
}

async fn avatars_of(
    app: &App,
    snapshot: &mut Snapshot,
    owners: &Owners,
    report: &mut (dyn FnMut(Wrong) + Send),
) -> Result<()> {
    let Owners { table, portion, first, still } = *owners;
    let mut after = Value::from(first);
    loop {
        let params = params! { "after" => after, "portion" => PORTION };
        let found: Vec<(String, String)> = snapshot.rows(portion, params).await?;
        let Some((last, _)) = found.last() else { return Ok(()) };
        after = Value::from(last.as_str());
        let looks = found.iter().map(|(owner, key)| async move {
            let object = format!("{}{key}", avatars::PREFIX);
            if app.files.size(&object).await?.is_some() {
                return Ok(None);
            }
            // It may have been changed meanwhile.
            let still: Option<u8> = app.db.first(still, (owner, key)).await?;
            let what = format!("its avatar {object} is not in the store");
            Ok(still.map(|_| Wrong { table, key: owner.clone(), what }))
        });
        let wrong: Result<Vec<Option<Wrong>>> = stream::iter(looks).buffered(CONCURRENT).try_collect().await;
        wrong?.into_iter().flatten().for_each(&mut *report);
    }
}

/// Finds which of these uploads have rows. `{keys}` stands for a list.
const UPLOADS: &str = "SELECT upload_id FROM uploads WHERE upload_id IN ({keys})";
/// Finds which of these avatars are somebody's, or wait to be erased. No index knows whose they are: for each page of
/// objects the server reads all users and all rooms.
const AVATARS: &str = "SELECT avatar_key FROM users WHERE avatar_key IN ({keys})
                       UNION ALL SELECT avatar_key FROM rooms WHERE avatar_key IN ({keys})
                       UNION ALL SELECT avatar_key FROM unused_avatars WHERE avatar_key IN ({keys})";

/// Reports the objects of which no row knows now. Their keys are this prefix, the key of the row, and perhaps more.
async fn strays(app: &App, prefix: &str, known: &str, report: &mut (dyn FnMut(Wrong) + Send)) -> Result<()> {
    let mut after = None;
    loop {
        let objects = app.files.keys_after(prefix, after.as_deref()).await?;
        let Some(last) = objects.last() else { return Ok(()) };
        let row_of = |object: &'_ String| -> String {
            let rest = object.strip_prefix(prefix).unwrap_or_default();
            rest.split('/').next().unwrap_or_default().to_owned()
        };
        let keys: BTreeSet<String> = objects.iter().map(row_of).collect();
        let sql = known.replace("{keys}", &places(keys.len()));
        let times = known.matches("{keys}").count();
        let params: Vec<Value> =
            (0..times).flat_map(|_| keys.iter().map(|key| Value::from(key.as_str()))).collect();
        let found: Vec<String> = app.db.rows(&sql, params).await?;
        let found: BTreeSet<String> = found.into_iter().collect();
        for key in objects.iter().filter(|object| !found.contains(&row_of(object))) {
            report(Wrong { table: "files", key: key.clone(), what: "no row knows of it".to_owned() });
        }
        after = Some(last.clone());
    }
}
