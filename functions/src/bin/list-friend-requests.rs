//! The Lambda function `list-friend-requests`.

use functions::{friends, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(friends::list_friend_requests).run().await
}
