//! The Lambda function `get-upload`.

use functions::{lambda, uploads};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(uploads::get_upload).run().await
}
