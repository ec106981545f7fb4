//! The Lambda function `delete-message`.

use functions::{lambda, messages};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(messages::delete_message).run().await
}
