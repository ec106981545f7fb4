//! What the gateway measures: how long functions take, by function and outcome.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Histogram, histogram};

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The client's fault: a status 4xx.
    Refused,
    /// Ours: a status 5xx, or no response.
    Failed,
    Timeout,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// A meter for each function and outcome, which is made when it is first needed.
pub(crate) struct Meters(BTreeMap<String, [OnceLock<Histogram>; 4]>);

impl Meters {
    /// Meters for these functions.
    pub(crate) fn new<'a>(functions: impl Iterator<Item = &'a String>) -> Self {
        Self(functions.map(|function| (function.clone(), Default::default())).collect())
    }

    pub(crate) fn ended(&self, function: &str, outcome: Outcome, time: Duration) {
        let Some(meters) = self.0.get(function) else { return };
        let new = || histogram!("coterie_requests_seconds", "function" => function.to_owned(), "outcome" => outcome.name());
        meters[outcome as usize].get_or_init(new).record(time);
    }
}
