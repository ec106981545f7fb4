//! The Lambda function `list-chat`.

use functions::{channels, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(channels::list_chat).run().await
}
