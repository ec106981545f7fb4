//! The Lambda function `list-chats`.

use functions::{chats, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(chats::list_chats).run().await
}
