//! The Lambda function `create-upload`.

use functions::{lambda, uploads};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(uploads::create_upload).run().await
}
