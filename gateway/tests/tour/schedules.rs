use std::time::Duration;

use gateway::limits::Limits;
use gateway::template::Schedule;

use crate::harness::{Does, TEMPLATE, Tour, template};

/// A gateway with one schedule, whose function does this.
async fn scheduled(does: Does) -> Tour {
    let mut template = template(TEMPLATE);
    let every = Duration::from_millis(20);
    template.schedules.push(Schedule { function: "cleaner".to_owned(), every });
    Tour::of(template, [("cleaner", does)], Limits::default()).await
}

#[tokio::test]
async fn a_schedule_runs_its_function_with_a_scheduled_event() {
    let tour = scheduled(Does::Say("null")).await;
    for _ in 0..2 {
        let event = tour.event("cleaner").await;
        assert_eq!(event["detail-type"], "Scheduled Event");
        assert_eq!(event["source"], "aws.events");
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
}

#[tokio::test]
async fn a_scheduled_function_that_fails_is_run_again_the_next_time() {
    for does in [Does::Throw, Does::Panic] {
        let tour = scheduled(does).await;
        tour.event("cleaner").await;
        tour.event("cleaner").await;
    }
}
