//! The Lambda function `create-friend-request`.

use functions::{friends, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(friends::create_friend_request).run().await
}
