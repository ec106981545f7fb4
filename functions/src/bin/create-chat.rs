//! The Lambda function `create-chat`.

use functions::{channels, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(channels::create_chat).run().await
}
