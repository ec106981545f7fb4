//! The Lambda function `disconnect`.

use functions::{lambda, websocket};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::websocket(websocket::disconnect).run().await
}
