//! `/api/friend-requests` and `/api/friends`: who is whose friend.

mod answer_friend_request;
mod create_friend_request;
mod list_friend_requests;
mod list_friends;
mod remove_friend;

pub use answer_friend_request::answer_friend_request;
pub use create_friend_request::create_friend_request;
pub use list_friend_requests::list_friend_requests;
pub use list_friends::list_friends;
pub use remove_friend::remove_friend;

use shared::events::Event;
use shared::friends::{FriendRequest, Status};
use shared::{App, connections};

/// Tells both of the two where their request stands.
async fn announce(app: &App, friend_request: &FriendRequest) {
    let event = match friend_request.status {
        Status::Pending => Event::FriendRequest { friend_request },
        Status::Accepted | Status::Rejected => Event::FriendRequestAnswered { friend_request },
    };
    match connections::of_users(&app.db, &[&friend_request.from, &friend_request.to]).await {
        Ok(sockets) => app.broadcast(&event, sockets).await,
        // It is done; who misses the push finds it in the list.
        Err(error) => error.log(""),
    }
}
