//! The Lambda function `sync`.

use functions::{chats, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(chats::sync).run().await
}
