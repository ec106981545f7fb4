//! Avatars: small square pictures of users and rooms, which anybody who knows their key can see (`docs/contract.md`,
//! "Avatars").
//!
//! Each has a key of its own, so that browsers can keep it forever. The table `unused_avatars` has the keys of those that
//! nobody has: a new one before it is somebody's, and an old one until it is erased.

use mysql_async::prelude::Queryable;

use crate::app::App;
use crate::base::db::Db;
use crate::base::file_type::FileType;
use crate::base::files::{HEAD_BYTES, WholeFile};
use crate::base::ids::RoomId;
use crate::base::rate_limit::{self, Limited};
use crate::base::text::text_type;
use crate::base::time;
use crate::base::tokens::random_token;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::membership::settings::{self, Updated};
use crate::messages::system;
use crate::people::profiles::{self, OwnProfile};
use crate::people::sessions;
use crate::uploads::request::NewFile;
use crate::{Error, Result};

/// The most bytes of an image from which an avatar is made.
pub const MOST_BYTES: u64 = 2 * 1024 * 1024;
/// The prefix of the keys of avatars in the store.
pub(crate) const PREFIX: &str = "avatars/";

text_type!(
    /// The key of an avatar: 256 random bits in base64url.
    AvatarKey, |key| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        match key.len() == 43 && key.bytes().all(is_allowed) {
            true => Ok(key),
            false => Err("must be the key of an avatar".to_owned()),
        }
    }
);

impl AvatarKey {
    /// Reads a key from the path that a profile or a room shows.
    fn of_path(path: &str) -> Option<Self> {
        path.strip_prefix("/avatars/").map(|key| Self::stored(key.to_owned()))
    }

    fn path(&self) -> String {
        format!("/avatars/{self}")
    }

    /// Its object in the store.
    fn object(&self) -> String {
        format!("{PREFIX}{self}")
    }
}

/// Returns the bytes of an avatar and their type.
///
/// # Errors
/// [`Error::NotFound`] for what is no avatar any more, and [`Error::StoreUnavailable`].
pub async fn read(app: &App, key: &str) -> Result<WholeFile> {
    let key = AvatarKey::try_from(key.to_owned()).map_err(|_| Error::NotFound(Thing::Avatar))?;
    app.files.get(&key.object(), MOST_BYTES).await?.ok_or(Error::NotFound(Thing::Avatar))
}

/// Makes the user's own avatar of an image. Returns their profile.
///
/// # Errors
/// [`Error::RateLimited`] after `UPLOAD_LIMIT`, [`Error::PayloadTooLarge`], [`Error::UnsupportedMediaType`] also for an
/// image that cannot be decoded, [`Error::Overloaded`] and [`Error::StoreUnavailable`].
pub async fn set_own(app: &App, user: &User, file: NewFile) -> Result<OwnProfile> {
    let key = store(app, user, file).await?;
    let (profile, old) = app.db.transaction((user, Some(&key)), write_own).await?;
    erase_soon(app, old).await;
    Ok(profile)
}

/// Removes the user's own avatar. Returns whether there was one.
///
/// # Errors
/// The database's.
pub async fn remove_own(app: &App, user: &User) -> Result<bool> {
    let (_, old) = app.db.transaction((user, None), write_own).await?;
    let was_there = old.is_some();
    erase_soon(app, old).await;
    Ok(was_there)
}

/// Makes the avatar of a room of an image.
///
/// # Errors
/// As [`set_own`] and [`settings::update`].
pub async fn set_of_room(app: &App, user: &User, room_id: RoomId, file: NewFile) -> Result<Updated> {
    let key = store(app, user, file).await?;
    let (updated, old) = app.db.transaction_in(room_id, (user, room_id, Some(&key)), write_of_room).await?;
    erase_soon(app, old).await;
    Ok(updated)
}

/// Removes the avatar of a room, if there is one.
///
/// # Errors
/// As [`settings::update`].
pub async fn remove_of_room(app: &App, user: &User, room_id: RoomId) -> Result<Updated> {
    let (updated, old) = app.db.transaction_in(room_id, (user, room_id, None), write_of_room).await?;
    erase_soon(app, old).await;
    Ok(updated)
}

/// Makes an avatar of an image and stores it. Nobody has it yet.
async fn store(app: &App, user: &User, file: NewFile) -> Result<AvatarKey> {
    rate_limit::count(&app.db, &app.config.limits, Limited::Upload(&user.user_id)).await?;
    if file.bytes.len() as u64 > MOST_BYTES {
        return Err(Error::PayloadTooLarge { most: MOST_BYTES });
    }
    let found = FileType::of(&file.bytes[..file.bytes.len().min(HEAD_BYTES)]);
    let file_type = match found {
        Some(found @ (FileType::Jpeg | FileType::Png | FileType::Webp)) => found,
        _ => return Err(Error::UnsupportedMediaType),
    };
    if file.said_type.is_some_and(|said| FileType::named(&said) != Some(file_type)) {
        return Err(Error::UnsupportedMediaType);
    }
    let avatar = app.pictures.turn().await?.avatar(file.bytes, file_type).await;
    let avatar = avatar.ok_or(Error::UnsupportedMediaType)?;
    let key = AvatarKey::stored(random_token::<32>());
    // From here on the sweep finds whatever this call leaves behind.
    let sql =
        "INSERT INTO unused_avatars (avatar_key, since) VALUES (?, ?) ON DUPLICATE KEY UPDATE since = since";
    app.db.execute(sql, (&key, time::now())).await?;
    app.files.put(&key.object(), avatar.file_type.media_type(), avatar.bytes).await?;
    Ok(key)
}

/// Gives a user an avatar, or none. Returns their profile, and the key of the one before.
async fn write_own(
    transaction: &mut Transaction,
    (user, new): (&User, Option<&AvatarKey>),
) -> Result<(OwnProfile, Option<AvatarKey>)> {
    let old: Option<Option<AvatarKey>> = transaction
        .exec_first("SELECT avatar_key FROM users WHERE user_id = ? FOR UPDATE", (&user.user_id,))
        .await?;
    let old = old.flatten();
    sessions::still_signed_in(transaction, user, None).await?;
    exchange(transaction, new, old.as_ref()).await?;
    transaction.exec_drop("UPDATE users SET avatar_key = ? WHERE user_id = ?", (new, &user.user_id)).await?;
    Ok((profiles::own(transaction, &user.user_id, user.organization_id).await?, old))
}

/// Gives a room an avatar, or none. Returns the room, and the key of the avatar before. The change is a system message, like
/// one of the room's settings.
async fn write_of_room(
    transaction: &mut Transaction,
    (user, room_id, new): (&User, RoomId, Option<&AvatarKey>),
) -> Result<(Updated, Option<AvatarKey>)> {
    let mut room = settings::lock(transaction, user, room_id).await?;
    let old = room.avatar_url.as_deref().and_then(AvatarKey::of_path);
    if new.is_none() && old.is_none() {
        return Ok((Updated { room, seq: None }, None));
    }
    exchange(transaction, new, old.as_ref()).await?;
    transaction.exec_drop("UPDATE rooms SET avatar_key = ? WHERE id = ?", (new, room_id)).await?;
    room.avatar_url = new.map(AvatarKey::path);
    let seq = system::write(transaction, &mut room, &user.user_id, "updated").await?;
    Ok((Updated { room, seq: Some(seq) }, old))
}

/// Takes the new avatar from those that nobody has, and puts the old one there.
async fn exchange(
    transaction: &mut Transaction,
    new: Option<&AvatarKey>,
    old: Option<&AvatarKey>,
) -> Result<()> {
    if let Some(new) = new {
        transaction.exec_drop("DELETE FROM unused_avatars WHERE avatar_key = ?", (new,)).await?;
        if transaction.affected_rows() == 0 {
            return Err(Error::internal("a new avatar was swept before it was used"));
        }
    }
    if let Some(old) = old {
        transaction
            .exec_drop("INSERT INTO unused_avatars (avatar_key, since) VALUES (?, ?)", (old, time::now()))
            .await?;
    }
    Ok(())
}

/// Erases an avatar that nobody has any more. What fails here is left to the sweep.
async fn erase_soon(app: &App, key: Option<AvatarKey>) {
    if let Some(key) = key
        && let Err(error) = erase(app, &key).await
    {
        error.log();
    }
}

/// Erases an avatar of `unused_avatars`: its bytes, and then its row.
///
/// # Errors
/// The database's or the store's; the next sweep then erases what is left.
pub(crate) async fn erase(app: &App, key: &AvatarKey) -> Result<()> {
    app.files.delete(&key.object()).await?;
    app.db.execute("DELETE FROM unused_avatars WHERE avatar_key = ?", (key,)).await.map(drop)
}

/// Returns some avatars that nobody has had for an hour. A request that is about to use one has ended by then.
///
/// # Errors
/// The database's.
pub(crate) async fn unused(db: &Db, most: usize) -> Result<Vec<AvatarKey>> {
    let sql = "SELECT avatar_key FROM unused_avatars FORCE INDEX (unused_avatars_since)
               WHERE since < UTC_TIMESTAMP(3) - INTERVAL 1 HOUR LIMIT ?";
    db.rows(sql, (most,)).await
}
