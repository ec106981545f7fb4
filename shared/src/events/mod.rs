//! What others are told: the events, who gets them, and presence. An act returns what it did; the
//! function asks here for the notice and tells it.

pub mod announce;
pub mod client_event;
pub mod event;
pub mod presence;
