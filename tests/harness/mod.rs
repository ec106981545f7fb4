//! A server to test, the people who use it, and their sockets.
//!
//! ```ignore
//! let app = TestApp::start().await;
//! let ann = app.prime("ann").await;
//! let room = ann.opens_a_room().await;
//! ann.post("/api/messages", json!({"roomId": room, "content": "Hello"})).await.created();
//! ```

mod answer;
mod app;
mod databases;
mod documents;
mod person;
mod private;
mod proxy;
mod server;
mod socket;
mod token;

pub use answer::Answer;
pub use app::{TestApp, setting};
pub use documents::{document, message_of, paths_and_methods};
pub use person::{Person, ROOM_PASSWORD};
pub use proxy::Statements;
pub use server::Server;
pub use socket::{Socket, socket_io_url};
pub use token::{SECRET, claims, signed};
