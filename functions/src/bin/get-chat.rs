//! The Lambda function `get-chat`.

use functions::{chats, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(chats::get_chat).run().await
}
