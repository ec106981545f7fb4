//! The function `create-friend-request`.

functions::main!(friends::create_friend_request);
