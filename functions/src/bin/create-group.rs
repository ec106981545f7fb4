//! The Lambda function `create-group`.

use functions::{groups, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(groups::create_group).run().await
}
