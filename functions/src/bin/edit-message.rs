//! The Lambda function `edit-message`.

use functions::{lambda, messages};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(messages::edit_message).run().await
}
