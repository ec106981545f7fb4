//! The Lambda function `send-message`.

use functions::{lambda, messages};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(messages::send_message).run().await
}
