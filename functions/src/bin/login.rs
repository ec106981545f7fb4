//! The Lambda function `login`.

use functions::{auth, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(auth::login).run().await
}
