//! The Lambda function `list-friends`.

use functions::{friends, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(friends::list_friends).run().await
}
