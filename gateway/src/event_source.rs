//! Delivers the jobs of queues to functions (AWS SAM: `SQS` event source; AWS Lambda Developer Guide, "Using
//! Lambda with Amazon SQS").

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::gateway::Gateway;
use crate::integration::new_id;
use crate::limits::FUNCTION_TIMEOUT;
use crate::queues::{QueuedJob, md5_of};
use crate::template::EventSource;

/// Runs every event source of the template. Never returns.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    future::join_all(gateway.template.event_sources.iter().map(|source| run_one(&gateway, source))).await;
}

async fn run_one(gateway: &Arc<Gateway>, source: &EventSource) {
    let permits = Arc::new(Semaphore::new(source.maximum_concurrency));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let jobs = gateway.queues.receive(&source.queue, source.batch_size).await;
        let (gateway, source) = (gateway.clone(), source.clone());
        tokio::spawn(async move {
            let failed = deliver(&gateway, &source, &jobs).await;
            gateway.queues.settle(&source.queue, jobs, &failed);
            drop(permit);
        });
    }
}

/// Invokes the function with these jobs, and returns the ids of those that have failed.
async fn deliver(gateway: &Gateway, source: &EventSource, jobs: &[QueuedJob]) -> BTreeSet<String> {
    let all = || jobs.iter().map(|job| job.id.clone()).collect();
    let records: Vec<Value> = jobs.iter().map(|job| record(&source.queue, job)).collect();
    let Ok(event) = to_raw_value(&json!({ "Records": records })) else { return all() };
    // `invoke` has logged a failure.
    match gateway.invoke_measured(&source.function, FUNCTION_TIMEOUT, &new_id(), event).await {
        Ok(response) if source.reports_failures => reported(&response, &all()).unwrap_or_else(all),
        Ok(_) => BTreeSet::new(),
        Err(_) => all(),
    }
}

/// A function's answer to an event. Nothing has failed if it is empty or `null`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchResponse {
    batch_item_failures: Option<Vec<BatchItemFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

/// Returns the ids of the jobs that an answer reports as failed. Returns `None` for an answer of another form
/// and for an unknown id: then all have failed.
fn reported(answer: &RawValue, all: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let answer: Option<BatchResponse> = serde_json::from_str(answer.get()).ok()?;
    let failures = answer.unwrap_or_default().batch_item_failures.unwrap_or_default();
    let failed = failures.into_iter().map(|failure| failure.item_identifier);
    failed.map(|id| all.contains(&id).then_some(id)).collect()
}

fn record(queue: &str, job: &QueuedJob) -> Value {
    json!({
        "messageId": job.id,
        "receiptHandle": new_id(),
        "body": job.body,
        "attributes": {
            "ApproximateReceiveCount": job.receive_count.to_string(),
            "SentTimestamp": job.sent_at.timestamp_millis().to_string(),
            "SenderId": "anonymous",
            "ApproximateFirstReceiveTimestamp": job.first_received_at.timestamp_millis().to_string(),
        },
        "messageAttributes": {},
        "md5OfBody": md5_of(&job.body),
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:local:000000000000:{queue}"),
        "awsRegion": "local",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_jobs_that_have_failed() {
        let all = ["a", "b"].map(str::to_owned).into();
        let reported = |answer: &str| reported(&RawValue::from_string(answer.to_owned()).unwrap(), &all);
        for nothing in ["null", "{}", r#"{"batchItemFailures": null}"#, r#"{"batchItemFailures": []}"#] {
            assert_eq!(reported(nothing), Some(BTreeSet::new()), "{nothing}");
        }
        let one = r#"{"batchItemFailures": [{"itemIdentifier": "b"}]}"#;
        assert_eq!(reported(one), Some(["b".to_owned()].into()));
        for all in [
            r#"{"batchItemFailures": [{"itemIdentifier": "c"}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
            r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
            r#"{"batchItemFailures": [{"id": "a"}]}"#,
            r#""ok""#,
        ] {
            assert_eq!(reported(all), None, "{all}");
        }
    }
}
