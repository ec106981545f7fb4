//! How long frames take, by event and outcome.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Histogram, histogram};
use shared::events::client_event::ClientEvent;
use shared::events::event::Outcome;

/// The meters of an event: of its success, and of its errors.
type OfEvent = [Histogram; 2];

static METERS: LazyLock<BTreeMap<&'static str, OfEvent>> = LazyLock::new(|| {
    let names = ClientEvent::ALL.iter().map(|event| event.name()).chain([UNKNOWN]);
    let of = |event: &'static str| {
        ["ok", "error"]
            .map(|outcome| histogram!("coterie_frames_seconds", "event" => event, "outcome" => outcome))
    };
    names.map(|event| (event, of(event))).collect()
});

/// Frames of no event that there is.
const UNKNOWN: &str = "unknown";

/// Measures a frame that was handled.
pub(super) fn handled(event: Option<ClientEvent>, outcome: &Outcome, time: Duration) {
    if let Some([ok, error]) = METERS.get(event.map_or(UNKNOWN, ClientEvent::name)) {
        let meter = if matches!(outcome, Outcome::Error(_)) { error } else { ok };
        meter.record(time);
    }
}
