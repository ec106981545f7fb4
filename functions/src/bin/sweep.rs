//! The Lambda function `sweep`.

use functions::{lambda, operations};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::direct(operations::sweep).run().await
}
