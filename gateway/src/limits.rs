//! API Gateway's numbers, each with its source. Those that a test must turn down are in [`Limits`].

use std::time::Duration;

/// The most bytes of a request's body (API Gateway quotas, HTTP APIs: payload size 10 MB).
pub const BODY_BYTES: usize = 10 * 1024 * 1024;

/// The most bytes of an event (Lambda quotas: invocation payload, synchronous, 6 MB each way).
pub const EVENT_BYTES: usize = 6 * 1024 * 1024;

/// The most bytes of a function's answer (Lambda quotas, as above).
pub const ANSWER_BYTES: usize = 6 * 1024 * 1024;

/// The most bytes of one WebSocket frame (API Gateway quotas, WebSocket APIs).
pub const FRAME_BYTES: usize = 32 * 1024;

/// The most bytes of one WebSocket message (API Gateway quotas, WebSocket APIs).
pub const MESSAGE_BYTES: usize = 128 * 1024;

/// How many messages of one socket are with functions at once. API Gateway names no such number;
/// past this the socket is read no further, so that memory stays bounded.
pub const MESSAGES_UNDER_WAY: usize = 64;

/// How many frames wait for one socket that does not read. API Gateway answers 429 when "the
/// WebSocket client side buffer is full" (`PostToConnection`, `LimitExceededException`).
pub const FRAMES_WAITING: usize = 512;

/// How many bytes of them: eight of the largest messages. The number is ours, so that memory stays bounded.
pub const BYTES_WAITING: usize = 8 * MESSAGE_BYTES;

/// The limits that are times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest wait for the function of a WebSocket route (API Gateway quotas, WebSocket APIs:
    /// integration timeout, 29 s).
    pub integration: Duration,
    /// The longest wait for the function of an HTTP route (API Gateway quotas, HTTP APIs: maximum
    /// integration timeout, 30 s).
    pub http_integration: Duration,
    /// A socket without a message either way is closed after this (quotas: 10 minutes).
    pub idle: Duration,
    /// The life of a socket (quotas: 2 hours).
    pub life: Duration,
    /// A socket whose client takes longer than this to take a frame is closed. Of AWS no such time is known;
    /// 128 KB in it are a very slow line, and a push is given up after 2 s.
    pub deaf: Duration,
    /// How long a stopping gateway waits for requests under way and for `$disconnect` of its sockets.
    pub stopping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            integration: Duration::from_secs(29),
            http_integration: Duration::from_secs(30),
            idle: Duration::from_secs(10 * 60),
            life: Duration::from_secs(2 * 60 * 60),
            deaf: Duration::from_secs(30),
            stopping: Duration::from_secs(5),
        }
    }
}
