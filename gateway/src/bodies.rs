//! The bodies of requests: each arrives in time, and all of a port take a bounded amount of memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{BODIES_BYTES, FREE_BODY_BYTES};

/// How long the rest of a refused body is read, and how much of it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// The memory for the bodies of one port.
#[derive(Clone, Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_BYTES)))
    }
}

impl Bodies {
    /// Makes a body that fails if it has more than `most` bytes, does not end within `time` or does not find
    /// room beside all others. It takes its room until the [`Reading`] is dropped.
    ///
    /// # Errors
    /// The status of the response if `Content-Length` announces too many bytes.
    pub(crate) fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        most: usize,
        time: Duration,
    ) -> Result<(Body, Reading), StatusCode> {
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > most as u64) {
            discard(body.into_data_stream());
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let reading = Reading(Arc::new(Mutex::new(BodyState { bytes: 0, permit: None, failure: None })));
        if body.is_end_stream() {
            // A stream would not say that it is empty.
            return Ok((body, reading));
        }
        let (memory, state, deadline) = (self.0.clone(), reading.clone(), Instant::now() + time);
        let chunks = stream::try_unfold(body.into_data_stream(), move |mut chunks| {
            let (memory, state) = (memory.clone(), state.clone());
            async move {
                let Ok(chunk) = timeout_at(deadline, chunks.next()).await else {
                    return Err(state.fail(StatusCode::REQUEST_TIMEOUT));
                };
                let Some(chunk) = chunk else { return Ok(None) };
                let chunk: Bytes = chunk.map_err(BoxError::from)?;
                match state.take(&memory, chunk.len(), most) {
                    Ok(()) => Ok(Some((chunk, chunks))),
                    Err(status) => {
                        discard(chunks);
                        Err(state.fail(status))
                    }
                }
            }
        });
        Ok((Body::from_stream(chunks), reading))
    }
}

/// A body that is being read or used.
#[derive(Clone, Debug)]
pub(crate) struct Reading(Arc<Mutex<BodyState>>);

#[derive(Debug)]
struct BodyState {
    /// The bytes that have arrived.
    bytes: usize,
    /// The memory for them, without the first [`FREE_BODY_BYTES`].
    permit: Option<OwnedSemaphorePermit>,
    /// The status of the response if the body was not read to its end.
    failure: Option<StatusCode>,
}

impl Reading {
    fn state(&self) -> MutexGuard<'_, BodyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that have arrived, and takes memory for them.
    fn take(&self, memory: &Arc<Semaphore>, bytes: usize, most: usize) -> Result<(), StatusCode> {
        let mut state = self.state();
        let paid = state.bytes.saturating_sub(FREE_BODY_BYTES);
        state.bytes += bytes;
        if state.bytes > most {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let due = state.bytes.saturating_sub(FREE_BODY_BYTES) - paid;
        let permit = u32::try_from(due).ok().and_then(|due| memory.clone().try_acquire_many_owned(due).ok());
        let permit = permit.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        match &mut state.permit {
            Some(taken) => taken.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }

    fn fail(&self, status: StatusCode) -> BoxError {
        self.state().failure = Some(status);
        "the body was refused".into()
    }

    /// The status of the response if the body was refused.
    pub(crate) fn failure(&self) -> Option<StatusCode> {
        self.state().failure
    }
}

/// Reads the rest of a refused body for a moment: a client that is still sending would otherwise find its
/// connection reset, and no response.
fn discard(mut chunks: BodyDataStream) {
    tokio::spawn(timeout(LINGER, async move {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await
            && bytes < LINGER_BYTES
        {
            bytes += chunk.len();
        }
    }));
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn small_bodies_find_room_when_large_ones_have_taken_all_of_it() {
        let bodies = Bodies::default();
        let read = |bytes: usize| {
            let body = Body::from(vec![0; bytes]);
            bodies.read(&HeaderMap::new(), body, usize::MAX, Duration::from_secs(60)).unwrap()
        };
        let size = 8 * 1024 * 1024;
        let mut large = Vec::new();
        loop {
            let (body, reading) = read(size);
            if to_bytes(body, usize::MAX).await.is_err() {
                assert_eq!(reading.failure(), Some(StatusCode::SERVICE_UNAVAILABLE));
                break;
            }
            assert_eq!(reading.failure(), None);
            large.push(reading);
        }
        assert_eq!(large.len(), BODIES_BYTES / (size - FREE_BODY_BYTES));
        let (body, small) = read(FREE_BODY_BYTES);
        assert_eq!(to_bytes(body, usize::MAX).await.unwrap().len(), FREE_BODY_BYTES);
        drop((large.pop(), small));
        assert!(to_bytes(read(size).0, usize::MAX).await.is_ok());
    }
}
