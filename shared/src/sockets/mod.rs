//! Who is connected, and how frames reach them. A row of `connections` is an open socket. Which
//! events exist and who hears them is decided in `events`.

pub mod connections;
pub mod tell;
