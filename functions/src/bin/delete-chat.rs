//! The Lambda function `delete-chat`.

use functions::{channels, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(channels::delete_chat).run().await
}
