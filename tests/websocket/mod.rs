//! Contract section 4.

mod chatting;
mod connecting;
mod credentials;
mod ending;
mod fanning_out;
mod frames;
mod overtaking;
mod presence;
mod syncing;
mod tickets;
