//! The Lambda function `create-ticket`.

use functions::{auth, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(auth::create_ticket).run().await
}
