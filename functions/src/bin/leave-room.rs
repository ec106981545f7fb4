//! The Lambda function `leave-room`.

use functions::{lambda, rooms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(rooms::leave_room).run().await
}
