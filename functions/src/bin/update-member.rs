//! The Lambda function `update-member`.

use functions::{lambda, rooms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(rooms::update_member).run().await
}
