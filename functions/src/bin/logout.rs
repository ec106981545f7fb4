//! The Lambda function `logout`.

use functions::{auth, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(auth::logout).run().await
}
