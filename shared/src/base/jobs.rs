//! Jobs for functions of their own. They wait in a queue: Amazon SQS, or a queue that this process holds
//! itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{BuildError, DisplayErrorContext};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::OnceCell;

use crate::config::QueueUrls;

/// The most jobs in one request, and the most bytes of them together (SQS API: `SendMessageBatch`; it has
/// accepted 1 MiB since August 2025 and 256 KiB before).
const BATCH_JOBS: usize = 10;
const BATCH_BYTES: usize = 256 * 1024;
/// How many requests of one call run at once.
const CONCURRENT_REQUESTS: usize = 8;
/// When a request is given up, with its retries. Its sender then does the jobs itself.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// A queue of `template.yaml`. A function of its own does its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Posts to a large audience, for the function `fan-out`.
    FanOut,
    /// Sockets that have closed, for the function `presence`. They wait here for a reconnect. And sockets of Socket.IO
    /// whose handshake was accepted.
    Presence,
}

impl Queue {
    /// All queues.
    pub const ALL: [Self; 2] = [Self::FanOut, Self::Presence];

    /// Returns the queue's name in `template.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FanOut => "FanOutQueue",
            Self::Presence => "PresenceQueue",
        }
    }

    /// Returns the setting with the queue's URL.
    pub fn setting(self) -> &'static str {
        match self {
            Self::FanOut => "FAN_OUT_QUEUE_URL",
            Self::Presence => "PRESENCE_QUEUE_URL",
        }
    }
}

/// The queues that this process holds itself.
pub trait LocalQueues: fmt::Debug + Send + Sync {
    /// Queues a job, which is done after this delay, or else after the queue's own.
    ///
    /// # Errors
    /// Says why the queue does not take it.
    fn send(&self, queue: Queue, job: String, delay: Option<Duration>) -> Result<(), String>;
}

/// How to reach the queues.
#[derive(Clone, Debug)]
pub enum Jobs {
    /// SQS. The clients are created at the first job.
    Sqs(Arc<Sqs>),
    /// The queues that this process holds itself.
    Local(Arc<dyn LocalQueues>),
}

/// The queues of SQS, of which each may have an address of its own.
#[derive(Debug)]
pub struct Sqs {
    fan_out: Option<Remote>,
    presence: Option<Remote>,
}

#[derive(Debug)]
struct Remote {
    url: String,
    client: OnceCell<Client>,
}

impl Jobs {
    /// Sends to the queues at these URLs.
    pub fn sqs(urls: &QueueUrls) -> Self {
        let remote = |url: &Option<String>| url.clone().map(|url| Remote { url, client: OnceCell::new() });
        Self::Sqs(Arc::new(Sqs { fan_out: remote(&urls.fan_out), presence: remote(&urls.presence) }))
    }

    /// Sends jobs to a queue. Returns those that it did not take: the caller does them itself. A job may be
    /// done in both ways, when only the answer to its request was lost.
    #[must_use = "jobs that were not queued must be done here"]
    pub(crate) async fn send(&self, queue: Queue, jobs: Vec<String>) -> Vec<String> {
        self.send_after(queue, jobs, None).await
    }

    /// Like [`Jobs::send`], but the jobs are done after so many seconds, and not after the queue's own delay.
    #[must_use = "jobs that were not queued must be done here"]
    pub(crate) async fn send_later(&self, queue: Queue, jobs: Vec<String>, seconds: u32) -> Vec<String> {
        self.send_after(queue, jobs, Some(seconds)).await
    }

    async fn send_after(&self, queue: Queue, jobs: Vec<String>, seconds: Option<u32>) -> Vec<String> {
        match self {
            Self::Local(local) => {
                let delay = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                let refused = |job: &String| match local.send(queue, job.clone(), delay) {
                    Ok(()) => false,
                    Err(error) => {
                        tracing::warn!(queue = queue.name(), error, "a job was not queued");
                        true
                    }
                };
                jobs.into_iter().filter(refused).collect()
            }
            Self::Sqs(sqs) => {
                let remote = match queue {
                    Queue::FanOut => &sqs.fan_out,
                    Queue::Presence => &sqs.presence,
                };
                let Some(remote) = remote else { return jobs };
                let requests = stream::iter(batches(jobs)).map(|batch| remote.send(queue, batch, seconds));
                requests.buffer_unordered(CONCURRENT_REQUESTS).concat().await
            }
        }
    }
}

/// Divides jobs into requests.
fn batches(jobs: Vec<String>) -> Vec<Vec<String>> {
    let (mut batches, mut bytes) = (Vec::<Vec<String>>::new(), 0);
    for job in jobs {
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_JOBS && bytes + job.len() <= BATCH_BYTES => {
                bytes += job.len();
                batch.push(job);
            }
            _ => {
                bytes = job.len();
                batches.push(vec![job]);
            }
        }
    }
    batches
}

impl Remote {
    /// Sends a batch, and returns the jobs that the queue did not take.
    async fn send(&self, queue: Queue, mut batch: Vec<String>, seconds: Option<u32>) -> Vec<String> {
        let entries: Result<Vec<_>, BuildError> = batch
            .iter()
            .enumerate()
            .map(|(index, job)| {
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
                let delay = seconds.and_then(|seconds| i32::try_from(seconds).ok());
                entry.message_body(job).set_delay_seconds(delay).build()
            })
            .collect();
        let request = self.client().await.send_message_batch().queue_url(&self.url);
        let sent = match entries {
            Ok(entries) => request.set_entries(Some(entries)).send().await.map_err(Into::into),
            Err(error) => Err(aws_sdk_sqs::Error::from(error)),
        };
        let failed = match sent {
            Ok(answer) => answer.failed,
            Err(error) => {
                let error = DisplayErrorContext(&error);
                tracing::warn!(queue = queue.name(), jobs = batch.len(), %error, "jobs were not queued");
                return batch;
            }
        };
        for refusal in &failed {
            tracing::warn!(queue = queue.name(), ?refusal, "a job was not queued");
        }
        let mut index = 0;
        batch.retain(|_| {
            let id = index.to_string();
            index += 1;
            failed.iter().any(|refusal| refusal.id == id)
        });
        batch
    }

    async fn client(&self) -> &Client {
        let connect = async || {
            let timeouts = TimeoutConfig::builder().operation_timeout(SEND_TIMEOUT).build();
            let loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
            let loader = match endpoint(&self.url) {
                Some(endpoint) => loader.endpoint_url(endpoint),
                // A function in a VPC may reach AWS by IPv6 only.
                None => loader.use_dual_stack(true),
            };
            Client::new(&loader.load().await)
        };
        self.client.get_or_init(connect).await
    }
}

/// Returns the endpoint of a queue that is not at AWS: the beginning of its URL. The SDK knows AWS's own
/// endpoints, also those for IPv6, which no queue's URL names.
fn endpoint(url: &str) -> Option<&str> {
    let host = url.find("://")? + "://".len();
    let end = url[host..].find('/').map_or(url.len(), |path| host + path);
    let is_aws = url[host..end].starts_with("sqs.") && url[host..end].contains(".amazonaws.com");
    (!is_aws).then_some(&url[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_at_most_ten_jobs_and_256_kib() {
        let sizes = |jobs: Vec<String>| {
            let batches = batches(jobs).into_iter();
            batches.map(|batch| batch.iter().map(String::len).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(Vec::new()), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(vec!["x".to_owned(); 21]), [vec![1; 10], vec![1; 10], vec![1]]);
        let large = "x".repeat(BATCH_BYTES / 2);
        assert_eq!(sizes(vec![large.clone(); 3]), [vec![large.len(); 2], vec![large.len()]]);
        let huge = "x".repeat(BATCH_BYTES + 1);
        assert_eq!(sizes(vec![huge.clone(), "x".to_owned()]), [vec![huge.len()], vec![1]]);
    }

    #[test]
    fn a_queue_elsewhere_is_reached_at_the_origin_of_its_url() {
        let local = "http://127.0.0.1:9324/000000000000/FanOutQueue";
        assert_eq!(endpoint(local), Some("http://127.0.0.1:9324"));
        assert_eq!(endpoint("https://sqs.eu-central-1.amazonaws.com/123456789012/coterie-FanOutQueue"), None);
        assert_eq!(endpoint("FanOutQueue"), None);
    }
}
