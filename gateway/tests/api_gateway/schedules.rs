//! Functions that run on a schedule.

use std::time::Duration;

use gateway::limits::GatewayLimits;
use gateway::template::Schedule;

use crate::harness::{Behavior, TEMPLATE, TestGateway, template};

/// A gateway with one schedule, whose function behaves like this.
async fn gateway_with_schedule(behavior: Behavior) -> TestGateway {
    let mut template = template(TEMPLATE);
    let every = Duration::from_millis(20);
    template.schedules.push(Schedule { function: "cleaner".to_owned(), every });
    TestGateway::new(template, [("cleaner", behavior)], GatewayLimits::default()).await
}

#[tokio::test]
async fn a_schedule_runs_its_function_with_a_scheduled_event() {
    let gateway = gateway_with_schedule(Behavior::ReturnText("null")).await;
    for _ in 0..2 {
        let event = gateway.event("cleaner").await;
        assert_eq!(event["detail-type"], "Scheduled Event");
        assert_eq!(event["source"], "aws.events");
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
}

#[tokio::test]
async fn a_scheduled_function_that_fails_runs_again_the_next_time() {
    for behavior in [Behavior::Fail, Behavior::Panic] {
        let gateway = gateway_with_schedule(behavior).await;
        gateway.event("cleaner").await;
        gateway.event("cleaner").await;
    }
}
