//! The function `list-friend-requests`.

functions::main!(friends::list_friend_requests);
