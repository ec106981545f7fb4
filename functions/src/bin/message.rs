//! The Lambda function `message`.

use functions::{lambda, websocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::websocket(websocket::message).run().await
}
