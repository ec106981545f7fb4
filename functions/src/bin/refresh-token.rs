//! The Lambda function `refresh-token`.

use functions::{auth, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(auth::refresh_token).run().await
}
