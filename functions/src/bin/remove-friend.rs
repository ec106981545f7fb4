//! The Lambda function `remove-friend`.

use functions::{friends, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(friends::remove_friend).run().await
}
