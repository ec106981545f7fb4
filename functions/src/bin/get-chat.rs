//! The Lambda function `get-chat`.

use functions::{lambda, chats};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(chats::get_chat).run().await
}
