//! The Lambda function `renew-join-code`.

use functions::{lambda, organizations};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(organizations::renew_join_code).run().await
}
