//! What other users are notified of: the events, who gets them, and presence. The code that makes a change
//! returns what it did. The function builds the notice here and sends it.

pub mod announce;
pub mod client_event;
pub mod event;
pub mod presence;
