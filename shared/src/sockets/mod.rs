//! Who is connected, and how frames reach them. Each open socket has a row in `connections`. The folder
//! `events` decides which events exist and who gets them.

pub mod connections;
pub mod handshakes;
pub mod processes;
pub mod socket_io;
pub mod tell;
