//! The Lambda function `create-chatroom`.

use functions::{lambda, rooms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(rooms::create_chatroom).run().await
}
