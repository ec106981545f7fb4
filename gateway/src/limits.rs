//! The limits of API Gateway and Lambda, each with its source. Tests can lower those in [`GatewayLimits`].

use std::time::Duration;

use shared::sockets::socket_io::Heartbeat;

/// The most bytes in an event (Lambda quotas: synchronous invocation payload, 6 MB each way). API Gateway takes
/// bodies up to 10 MB, but an event has no room for more than these.
pub const EVENT_BYTES: usize = 6 * 1024 * 1024;

/// The most bytes in the head of a request. The number is ours; AWS allows 10,240 bytes of headers.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// How many bytes the bodies of all requests to one port can have together, until their responses. The number is
/// ours.
pub(crate) const BODIES_BYTES: usize = 128 * 1024 * 1024;

/// So many bytes of each body do not count for [`BODIES_BYTES`], so that large bodies keep out no small ones.
pub(crate) const FREE_BODY_BYTES: usize = 16 * 1024;

/// The most bytes in a function's response (Lambda quotas: as for [`EVENT_BYTES`]).
pub const RESPONSE_BYTES: usize = 6 * 1024 * 1024;

/// The longest that a function may run (Lambda quotas: function timeout, 900 seconds).
pub(crate) const FUNCTION_TIMEOUT: Duration = Duration::from_secs(900);

/// The most bytes in a WebSocket frame (API Gateway quotas, WebSocket APIs).
pub const FRAME_BYTES: usize = 32 * 1024;

/// The most bytes in a WebSocket message (API Gateway quotas, WebSocket APIs).
pub const MESSAGE_BYTES: usize = 128 * 1024;

/// How many messages of one socket functions handle at the same time. The gateway then stops reading
/// from the socket, to bound its memory. The number is ours; AWS documents none.
pub const CONCURRENT_MESSAGES: usize = 64;

/// How many `$disconnect` functions run at once. When very many clients leave together, the others wait here and not
/// for the database, where each would give up after some seconds and keep everybody else waiting. The number is ours.
pub const CONCURRENT_DISCONNECTS: usize = 16;

/// How many frames can wait for one socket. API Gateway responds to a post with 429 when "the WebSocket
/// client side buffer is full" (`PostToConnection`, `LimitExceededException`). The number is ours.
pub const FRAMES_WAITING: usize = 512;

/// How many bytes the frames that wait for one socket can have together. The number is ours: eight
/// messages of the largest size.
pub const BYTES_WAITING: usize = 8 * MESSAGE_BYTES;

/// The most bytes in a job of a queue, and in the jobs of one request (SQS quotas, since August 2025).
pub const JOB_BYTES: usize = 1024 * 1024;

/// The most jobs in one request (SQS API: `SendMessageBatch`).
pub const REQUEST_JOBS: usize = 10;

/// How many jobs of one queue can wait, and how many bytes of them. The numbers are ours: AWS keeps any
/// number.
pub const JOBS_WAITING: usize = 100_000;
/// As for [`JOBS_WAITING`].
pub const JOB_BYTES_WAITING: usize = 64 * 1024 * 1024;

/// The limits that are durations.
#[derive(Clone, Copy, Debug)]
pub struct GatewayLimits {
    /// How long the gateway waits for the function of a WebSocket route (API Gateway quotas, WebSocket
    /// APIs: integration timeout, 29 seconds).
    pub integration_timeout: Duration,
    /// How long the gateway waits for the function of an HTTP route (API Gateway quotas, HTTP APIs:
    /// maximum integration timeout, 30 seconds).
    pub http_integration_timeout: Duration,
    /// How long a socket stays open without a message in either direction (API Gateway quotas,
    /// WebSocket APIs: idle connection timeout, 10 minutes).
    pub idle_timeout: Duration,
    /// How long a socket stays open at most (API Gateway quotas, WebSocket APIs: connection duration,
    /// 2 hours).
    pub connection_duration: Duration,
    /// How often a client of Socket.IO is pinged, and how soon it must answer. AWS pings nobody; the values are
    /// Socket.IO's own.
    pub heartbeat: Heartbeat,
    /// How long a client can take to accept a frame before its socket is closed. The value is ours;
    /// AWS documents none. It is generous even for a slow line: the largest message has 128 KB, and a
    /// push is abandoned after 2 seconds.
    pub send_timeout: Duration,
    /// How long a client can take to send the head of a request, and how long a connection stays open without
    /// a request. The value is ours.
    pub head_timeout: Duration,
    /// How long a client can take to send the body of a request. The value is ours: a form of 4 MB needs
    /// 0.6 Mbit/s.
    pub body_timeout: Duration,
    /// How long a client can take nothing of what is sent to it before its connection breaks. The value is
    /// ours, above [`send_timeout`](Self::send_timeout), which closes a socket properly.
    pub write_timeout: Duration,
    /// How long a gateway that stops waits for the requests and the messages that it has read.
    pub drain_timeout: Duration,
    /// How long a gateway then waits for its sockets to close, and for `$disconnect` functions and jobs.
    pub shutdown_timeout: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            integration_timeout: Duration::from_secs(29),
            http_integration_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(10 * 60),
            connection_duration: Duration::from_secs(2 * 60 * 60),
            heartbeat: Heartbeat::LOCAL,
            send_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(2),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}
