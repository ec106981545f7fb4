//! The Lambda function `complete-upload`.

use functions::{lambda, uploads};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(uploads::complete_upload).run().await
}
