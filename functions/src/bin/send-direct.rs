//! The Lambda function `send-direct`.

use functions::{chats, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(chats::send_direct).run().await
}
