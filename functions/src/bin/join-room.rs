//! The Lambda function `join-room`.

use functions::{lambda, rooms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(rooms::join_room).run().await
}
