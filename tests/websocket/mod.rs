//! Contract section 4.

mod chatting;
mod connecting;
mod frames;
