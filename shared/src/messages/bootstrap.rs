//! Everything that a client needs after signing in (`bootstrap`; `docs/contract.md`, "Beginning with bootstrap").

use serde::Serialize;

use crate::base::db::Db;
use crate::base::page::{Place, Slice};
use crate::base::source::Source;
use crate::base::transaction::{Isolation, Transaction};
use crate::base::user::User;
use crate::messages::chats::{self, Chat, MOST_TOTALLED, Selection};
use crate::messages::user_changes::{MOST_FRIENDS, MOST_PENDING};
use crate::messages::user_state::{State, UserCursor};
use crate::people::friends::{self, FriendRequest};
use crate::people::profiles::{self, OwnProfile, Profile};
use crate::people::settings::Settings;
use crate::rooms::invitations::{self, Invitation};
use crate::{Error, Result};

/// The most bytes of the answer.
const MOST_BYTES: usize = 2_000_000;

/// What a client needs after signing in, from one snapshot.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// The own profile.
    pub profile: OwnProfile,
    /// The own settings.
    pub settings: Settings,
    /// The most recently active chats.
    pub chats: Beginning<Chat>,
    /// The sum of `unread` over the user's [`MOST_TOTALLED`] most recently active chats of every kind.
    pub unread_total: u64,
    /// The profiles of the user's friends.
    pub friends: Beginning<Profile>,
    /// The pending friend requests, sent and received.
    pub friend_requests: Vec<FriendRequest>,
    /// The pending invitations, sent and received.
    pub invitations: Vec<Invitation>,
    /// The cursor with which `sync` tells what changes about the user.
    pub user: UserCursor,
}

/// The beginning of a list.
#[derive(Debug, Serialize)]
pub struct Beginning<T> {
    /// Its first rows.
    pub data: Vec<T>,
    /// What to give to the list's own endpoint as `after`; `None` when this is the whole list.
    pub next: Option<Place>,
}

/// Returns what a client needs after signing in. It takes at most 2 MB of JSON: long chats make the list shorter.
///
/// # Errors
/// The database's.
pub async fn read(db: &Db, user: &User) -> Result<Bootstrap> {
    db.transaction_with(Isolation::Snapshot, user, gather).await
}

async fn gather(transaction: &mut Transaction, user: &User) -> Result<Bootstrap> {
    let source = &mut Source::Within(transaction);
    let state = State::read(source, user, None).await?;
    // One more shows whether the list goes on.
    let (_, mut chats) = chats::select(source, user, Selection::default(), MOST_TOTALLED + 1, 0).await?;
    let goes_on = chats.len() as u64 > MOST_TOTALLED;
    chats.truncate(MOST_TOTALLED as usize);
    let unread = chats::complete(source, user, &mut chats, &[]).await?;
    let slice = Slice { after: None, limit: MOST_FRIENDS };
    let friends = profiles::friends(source, user, &slice).await?;
    let friend_requests = friends::pending(source, user, MOST_PENDING).await?;
    let invitations = invitations::pending(source, user, MOST_PENDING).await?;
    let profile = profiles::own(transaction, &user.user_id, user.organization_id).await?;
    let user = state.cursor(&profile)?;
    let mut bootstrap = Bootstrap {
        settings: profile.settings.clone(),
        profile,
        chats: Beginning { data: Vec::new(), next: None },
        unread_total: unread.values().map(|unread| unread.count).sum(),
        friends: Beginning { data: friends.rows, next: friends.next },
        friend_requests,
        invitations,
        user,
    };
    let mut left = MOST_BYTES.saturating_sub(size(&bootstrap)? + 100);
    let all = chats.len();
    for chat in chats {
        match left.checked_sub(size(&chat)? + 1) {
            Some(rest) => left = rest,
            None => break,
        }
        bootstrap.chats.data.push(chat);
    }
    if goes_on || bootstrap.chats.data.len() < all {
        bootstrap.chats.next = bootstrap.chats.data.last().map(Chat::place);
    }
    Ok(bootstrap)
}

fn size(part: &impl Serialize) -> Result<usize> {
    Ok(serde_json::to_vec(part).map_err(Error::internal)?.len())
}
