//! Functions that do the jobs of queues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::limits::GatewayLimits;
use gateway::template::{EventSource, QueueSettings, Template};
use serde_json::{Value, json};
use shared::base::jobs::{LocalQueues, Queue};
use tokio::sync::Notify;

use crate::harness::{Behavior, TEMPLATE, TestGateway, template};

/// Two jobs in an event, three deliveries of a job.
fn template_with_queue() -> Template {
    let mut template = template(TEMPLATE);
    let queue = QueueSettings {
        delay: Duration::ZERO,
        visibility_timeout: Duration::from_millis(20),
        retention: Duration::from_secs(60),
        max_receive_count: Some(3),
    };
    template.queues.insert(Queue::FanOut.name().to_owned(), queue);
    template.event_sources.push(EventSource {
        function: "worker".to_owned(),
        queue: Queue::FanOut.name().to_owned(),
        batch_size: 2,
        maximum_concurrency: 2,
        reports_failures: true,
    });
    template
}

async fn gateway_with_queue(template: Template, behavior: Behavior) -> TestGateway {
    TestGateway::new(template, [("worker", behavior)], GatewayLimits::default()).await
}

fn send(gateway: &TestGateway, job: &str) {
    gateway.queues.send(Queue::FanOut, job.to_owned(), None).unwrap();
}

/// The body of each job of the worker's next event, and how often it was delivered.
async fn jobs(gateway: &TestGateway) -> Vec<(String, String)> {
    let event = gateway.event("worker").await;
    let records = event["Records"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let job =
        |record: &Value| (text(&record["body"]), text(&record["attributes"]["ApproximateReceiveCount"]));
    records.iter().map(job).collect()
}

fn job(body: &str, deliveries: u32) -> (String, String) {
    (body.to_owned(), deliveries.to_string())
}

#[tokio::test]
async fn an_event_has_the_jobs_of_a_queue() {
    let gateway = gateway_with_queue(template_with_queue(), Behavior::ReturnText("null")).await;
    send(&gateway, "{\"a\": 1}");
    let event = gateway.event("worker").await;
    let record = &event["Records"][0];
    assert_eq!(record["body"], "{\"a\": 1}");
    assert_eq!(record["md5OfBody"], "42b7b4f2921788ea14dac5566e6f06d0");
    assert_eq!((&record["eventSource"], &record["messageAttributes"]), (&json!("aws:sqs"), &json!({})));
    assert!(record["eventSourceARN"].as_str().unwrap().ends_with(":FanOutQueue"), "{record}");
    for text in ["messageId", "receiptHandle", "awsRegion"] {
        assert!(record[text].is_string(), "{text}: {record}");
    }
    for number in ["ApproximateReceiveCount", "SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
        assert!(record["attributes"][number].as_str().unwrap().parse::<u64>().is_ok(), "{number}: {record}");
    }
}

#[tokio::test]
async fn an_event_has_no_more_jobs_than_the_batch_size_and_so_many_events_run_at_once() {
    let done = Arc::new(Notify::new());
    let gateway = gateway_with_queue(template_with_queue(), Behavior::WaitFor(done.clone())).await;
    for body in ["1", "2", "3", "4", "5"] {
        send(&gateway, body);
    }
    let mut seen = jobs(&gateway).await;
    assert!(seen.len() <= 2);
    let second = jobs(&gateway).await;
    assert!(second.len() <= 2);
    seen.extend(second);
    assert!(!gateway.functions.has_event("worker"), "two events run");
    while seen.len() < 5 {
        done.notify_one();
        seen.extend(jobs(&gateway).await);
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"].map(|body| job(body, 1)));
}

#[tokio::test]
async fn a_job_waits_for_the_delay_of_its_queue() {
    let mut template = template_with_queue();
    let delay = Duration::from_millis(200);
    template.queues.get_mut(Queue::FanOut.name()).unwrap().delay = delay;
    let gateway = gateway_with_queue(template, Behavior::ReturnText("null")).await;
    let sent = Instant::now();
    send(&gateway, "later");
    assert_eq!(jobs(&gateway).await, [job("later", 1)]);
    assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
}

#[tokio::test]
async fn jobs_that_a_function_reports_as_failed_are_delivered_again() {
    let unknown = json!({"batchItemFailures": [{"itemIdentifier": "unknown"}]});
    for behavior in [Behavior::Fail, Behavior::Panic, Behavior::Return(unknown)] {
        let gateway = gateway_with_queue(template_with_queue(), behavior).await;
        send(&gateway, "x");
        for deliveries in 1..=3 {
            assert_eq!(jobs(&gateway).await, [job("x", deliveries)]);
        }
    }
}

#[tokio::test]
async fn a_job_that_has_failed_too_often_is_delivered_no_more() {
    let mut template = template_with_queue();
    template.queues.get_mut(Queue::FanOut.name()).unwrap().delay = Duration::from_millis(200);
    let gateway = gateway_with_queue(template, Behavior::Fail).await;
    send(&gateway, "bad");
    for deliveries in 1..=3 {
        assert_eq!(jobs(&gateway).await, [job("bad", deliveries)]);
    }
    send(&gateway, "next");
    // A fourth delivery would not wait for the delay, and would come before this one.
    assert_eq!(jobs(&gateway).await, [job("next", 1)]);
}

#[tokio::test]
async fn a_gateway_that_stops_delivers_the_delayed_jobs_at_once() {
    let mut template = template_with_queue();
    template.queues.get_mut(Queue::FanOut.name()).unwrap().delay = Duration::from_secs(3600);
    let mut gateway = gateway_with_queue(template, Behavior::ReturnText("null")).await;
    send(&gateway, "an hour later");
    gateway.stop();
    assert_eq!(jobs(&gateway).await, [job("an hour later", 1)]);
}

#[tokio::test]
async fn a_queue_that_is_full_or_unknown_takes_no_job() {
    let gateway = gateway_with_queue(template_with_queue(), Behavior::Hang).await;
    assert!(gateway.queues.send(Queue::Presence, "x".to_owned(), None).is_err());
    assert!(gateway.queues.send(Queue::FanOut, "x".repeat(1024 * 1024 + 1), None).is_err());
    let large = "x".repeat(1024 * 1024);
    let fit =
        (0..1000).take_while(|_| gateway.queues.send(Queue::FanOut, large.clone(), None).is_ok()).count();
    assert_eq!(fit, 64);
}
