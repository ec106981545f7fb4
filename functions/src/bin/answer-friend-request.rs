//! The function `answer-friend-request`.

functions::main!(friends::answer_friend_request);
