//! The Lambda function `list-members`.

use functions::{lambda, rooms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(rooms::list_members).run().await
}
