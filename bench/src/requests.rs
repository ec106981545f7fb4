//! Requests of clients of which each sends its next one when the last is answered.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use crate::Result;
use crate::sends::new_histogram;

/// What was measured.
pub(crate) struct Answered {
    pub(crate) per_second: f64,
    /// From the request to its whole answer, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

/// Sends requests for this long. `request` gets the client's number, and sends one. Fails with the first that fails.
pub(crate) async fn repeat(
    clients: usize,
    length: Duration,
    request: impl AsyncFn(usize) -> Result<()>,
) -> Result<Answered> {
    let start = Instant::now();
    let client = async |number: usize| {
        let mut latency = new_histogram()?;
        while latency.is_empty() || start.elapsed() < length {
            let sent = Instant::now();
            request(number).await?;
            latency.record(sent.elapsed().as_micros() as u64)?;
        }
        Ok::<_, crate::Error>(latency)
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    let histograms = try_join_all(clients).await?;
    let time = start.elapsed();
    let mut latency = new_histogram()?;
    for histogram in histograms {
        latency.add(histogram)?;
    }
    Ok(Answered { per_second: latency.len() as f64 / time.as_secs_f64(), latency })
}
