//! The Lambda function `get-group-messages`.

use functions::{groups, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(groups::get_group_messages).run().await
}
