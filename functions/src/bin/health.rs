//! The Lambda function `health`.

use functions::{lambda, operations};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(operations::health).run().await
}
