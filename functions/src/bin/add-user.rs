//! The Lambda function `add-user`.

use functions::{groups, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(groups::add_user).run().await
}
