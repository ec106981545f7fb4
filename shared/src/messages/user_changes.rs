//! What has changed about a user since a client's cursor (`docs/contract.md`, "The user's cursor").

use mysql_async::Row;
use mysql_async::prelude::FromRow;
use serde::Serialize;

use crate::base::ids::RoomId;
use crate::base::page::Slice;
use crate::base::source::Source;
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::messages::chats::{self, Chat, Selection};
use crate::messages::unread::{Position, Unread};
use crate::messages::user_state::{GivenCursor, State, UserCursor};
use crate::people::friends::{self, FriendRequest};
use crate::people::profiles::{self, OwnProfile, Profile};
use crate::people::settings::Settings;
use crate::rooms::invitations::{self, Invitation};
use crate::rooms::preferences::Preferences;
use crate::{Error, Result};

/// The most memberships that are answered.
const MOST_CHANGED: u64 = 100;
/// The most rooms that are named.
const MOST_ROOMS: u64 = 5000;
/// The most friends that are answered.
pub(crate) const MOST_FRIENDS: u64 = 1000;
/// The most invitations, and friend requests, that a client is told of.
pub(crate) const MOST_PENDING: usize = 200;

/// What has changed about a user.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum UserChanges {
    /// Too much to list: the client begins anew.
    Limited {
        /// Always `true`.
        limited: bool,
    },
    /// Everything that has changed. What has not is `None`, or is left out of its list.
    Listed(Box<ListedChanges>),
}

/// What has changed about a user, where it is not too much to list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedChanges {
    /// Always `false`.
    pub limited: bool,
    /// The cursor to ask with next.
    pub next: UserCursor,
    /// The own profile.
    pub profile: Option<OwnProfile>,
    /// The own settings, when the profile or they have changed.
    pub settings: Option<Settings>,
    /// All rooms that the user is in, when one was gained or lost.
    pub room_ids: Option<Vec<RoomId>>,
    /// The rooms that were gained.
    pub chats: Vec<Chat>,
    /// The other memberships that have changed.
    pub positions: Vec<ReadPosition>,
    /// All pending invitations.
    pub invitations: Option<Vec<Invitation>>,
    /// All pending friend requests.
    pub friend_requests: Option<Vec<FriendRequest>>,
    /// All friends.
    pub friends: Option<Vec<Profile>>,
}

/// A membership as it is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is a field of a chat")]
pub struct ReadPosition {
    pub room_id: RoomId,
    pub read_seq: u64,
    pub unread: u64,
    pub unread_mentions: u64,
    pub first_unread_seq: Option<u64>,
    pub last_seq: u64,
    pub membership: Preferences,
}

impl UserChanges {
    const LIMITED: Self = Self::Limited { limited: true };
}

/// Returns what has changed about a user since a cursor, and how many bytes of JSON it has, at most `bytes`.
///
/// # Errors
/// The database's.
pub(crate) async fn read(
    transaction: &mut Transaction,
    user: &User,
    cursor: &GivenCursor,
    bytes: usize,
) -> Result<(UserChanges, usize)> {
    let changes = match cursor {
        GivenCursor::Known(cursor) => listed(transaction, user, cursor).await?,
        GivenCursor::Unknown => None,
    };
    let changes = changes.map_or(UserChanges::LIMITED, |listed| UserChanges::Listed(Box::new(listed)));
    match serde_json::to_vec(&changes).map_err(Error::internal)?.len() {
        size if size <= bytes => Ok((changes, size)),
        _ => Ok((UserChanges::LIMITED, bytes)),
    }
}

/// Returns what has changed, or `None` when it is too much.
async fn listed(
    transaction: &mut Transaction,
    user: &User,
    cursor: &UserCursor,
) -> Result<Option<ListedChanges>> {
    let profile = profiles::own(transaction, &user.user_id, user.organization_id).await?;
    let source = &mut Source::Within(transaction);
    let state = State::read(source, user, Some(cursor)).await?;
    if cursor.is_ahead_of(&state) {
        return Ok(None);
    }
    let next = state.cursor(&profile)?;
    let (mut chats, mut positions) = (Vec::new(), Vec::new());
    if cursor.has_changed_memberships(&state) {
        match memberships(source, user, cursor).await? {
            Some(changed) => (chats, positions) = changed,
            None => return Ok(None),
        }
    }
    let mut room_ids = None;
    if cursor.rooms != state.rooms {
        let sql = "SELECT room_id FROM room_members FORCE INDEX (room_members_user)
                   WHERE user_id = ? ORDER BY room_id LIMIT ?";
        let all: Vec<RoomId> = source.rows(sql, (&user.user_id, MOST_ROOMS + 1)).await?;
        if all.len() as u64 > MOST_ROOMS {
            return Ok(None);
        }
        room_ids = Some(all);
    }
    let mut invitations = None;
    if cursor.invitations != state.invitations {
        invitations = Some(invitations::pending(source, user, MOST_PENDING).await?);
    }
    let mut friend_requests = None;
    if cursor.requests != state.requests {
        friend_requests = Some(friends::pending(source, user, MOST_PENDING).await?);
    }
    let mut friends = None;
    if cursor.friends != state.friends {
        let slice = Slice { after: None, limit: MOST_FRIENDS };
        let all = profiles::friends(source, user, &slice).await?;
        if all.next.is_some() {
            return Ok(None);
        }
        friends = Some(all.rows);
    }
    let profile = (next.profile != cursor.profile).then_some(profile);
    Ok(Some(ListedChanges {
        limited: false,
        settings: profile.as_ref().map(|profile| profile.settings.clone()),
        profile,
        next,
        room_ids,
        chats,
        positions,
        invitations,
        friend_requests,
        friends,
    }))
}

/// Returns the chats that were gained and the other memberships that have changed, or `None` when they are too many.
async fn memberships(
    source: &mut Source<'_>,
    user: &User,
    cursor: &UserCursor,
) -> Result<Option<(Vec<Chat>, Vec<ReadPosition>)>> {
    let changed: Vec<Row> = source
        .rows(
            "SELECT m.room_id, m.read_seq, r.last_seq, TRUE AS counts_mentions, m.notifications, m.favorite, m.archived, m.marked_unread
             FROM room_members m FORCE INDEX (room_members_user)
             STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = m.room_id
             WHERE m.user_id = ? AND m.changed_at > ? LIMIT ?",
            (&user.user_id, cursor.since(), MOST_CHANGED + 1),
        )
        .await?;
    if changed.len() as u64 > MOST_CHANGED {
        return Ok(None);
    }
    let selection = Selection { joined_since: Some(cursor.joined_since()), ..Selection::default() };
    let (_, mut gained) = chats::select(source, user, selection, MOST_CHANGED + 1, 0).await?;
    if gained.len() as u64 > MOST_CHANGED {
        return Ok(None);
    }
    let is_gained = |room_id: RoomId| gained.iter().any(|chat| chat.chat_id == room_id);
    let (mut positions, mut preferences) = (Vec::new(), Vec::new());
    for row in changed {
        let position = Position::from_row_opt(row.clone()).map_err(Error::internal)?;
        if !is_gained(position.room_id) {
            positions.push(position);
            preferences.push(Preferences::from_row_opt(row).map_err(Error::internal)?);
        }
    }
    let unread = chats::complete(source, user, &mut gained, &positions).await?;
    let positions = positions.into_iter().zip(preferences).map(|(position, membership)| {
        let Position { room_id, read_seq, last_seq, .. } = position;
        let Unread { count, first_seq, mentions } = unread.get(&room_id).copied().unwrap_or_default();
        ReadPosition {
            room_id,
            read_seq,
            unread: count,
            unread_mentions: mentions,
            first_unread_seq: first_seq,
            last_seq,
            membership,
        }
    });
    Ok(Some((gained, positions.collect())))
}
