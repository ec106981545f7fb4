//! The function `withdraw-friend-request`.

functions::main!(friends::withdraw_friend_request);
