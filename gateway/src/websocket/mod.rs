//! The WebSocket API (AWS: "About WebSocket APIs in API Gateway"). `handshake` invokes `$connect`, which
//! accepts or refuses the client. `socket` serves an open socket and invokes a function for each message.
//! `event` builds the events of both and invokes `$disconnect`.

mod event;
mod handshake;
mod socket;

pub(crate) use handshake::handshake;
