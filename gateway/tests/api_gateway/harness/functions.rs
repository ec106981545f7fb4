//! Functions whose behavior the test chooses, and which record their events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use gateway::invoke::{Failure, Invocation};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify, mpsc};
use tokio::time::timeout;

use super::TIMEOUT;

/// How a function responds to an event.
#[derive(Clone, Debug)]
pub(crate) enum Behavior {
    /// Returns this.
    Return(Value),
    /// Returns this text, which need not be JSON.
    ReturnText(&'static str),
    /// Fails.
    Fail,
    /// Panics in the future that the invocation returns.
    Panic,
    /// Panics before the invocation returns a future.
    PanicImmediately,
    /// Never responds.
    Hang,
    /// Waits at this barrier and returns 200.
    Meet(Arc<Barrier>),
    /// Waits for this notification and returns 200.
    WaitFor(Arc<Notify>),
}

/// The functions of a gateway.
#[derive(Debug)]
pub(crate) struct Functions {
    behaviors: HashMap<&'static str, Behavior>,
    events: Mutex<HashMap<String, EventQueue>>,
}

/// The events that one function has received and the test has not looked at.
#[derive(Clone, Debug)]
struct EventQueue {
    sender: mpsc::UnboundedSender<Box<RawValue>>,
    receiver: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Box<RawValue>>>>,
}

impl Functions {
    /// Functions that are not listed return 200.
    pub(super) fn new(behaviors: impl IntoIterator<Item = (&'static str, Behavior)>) -> Self {
        Self { behaviors: behaviors.into_iter().collect(), events: Mutex::default() }
    }

    fn events(&self, function: &str) -> EventQueue {
        let mut events = self.events.lock().unwrap();
        let new = || {
            let (sender, receiver) = mpsc::unbounded_channel();
            EventQueue { sender, receiver: Arc::new(tokio::sync::Mutex::new(receiver)) }
        };
        events.entry(function.to_owned()).or_insert_with(new).clone()
    }

    /// The next event that this function receives, byte for byte.
    pub(crate) async fn raw_event(&self, function: &str) -> String {
        let events = self.events(function);
        let mut receiver = events.receiver.lock().await;
        timeout(TIMEOUT, receiver.recv()).await.expect("the function is invoked").unwrap().get().to_owned()
    }

    /// Whether this function has received an event that the test has not looked at.
    pub(crate) fn has_event(&self, function: &str) -> bool {
        !self.events(function).receiver.try_lock().expect("nobody waits for an event").is_empty()
    }
}

impl gateway::invoke::Functions for Functions {
    fn invoke(&self, name: &str, request_id: &str, event: Box<RawValue>) -> Invocation {
        let raw = event;
        let event: Value = serde_json::from_str(raw.get()).unwrap();
        // The event of a schedule has no request, only an id, and that of a queue has an id for each job.
        let id = event.pointer("/requestContext/requestId").unwrap_or(&event["id"]);
        assert!(id == request_id || event["Records"].is_array(), "{event}");
        self.events(name).sender.send(raw).unwrap();
        let respond = |response: Value| Ok(to_raw_value(&response).unwrap());
        let ok = move || respond(json!({ "statusCode": 200 }));
        match self.behaviors.get(name).cloned() {
            None => async move { ok() }.boxed(),
            Some(Behavior::Return(value)) => async move { respond(value) }.boxed(),
            // An invocation that returns invalid JSON fails, in this process as behind an endpoint.
            Some(Behavior::ReturnText(text)) => {
                async move { RawValue::from_string(text.to_owned()).map_err(|_| Failure::Error) }.boxed()
            }
            Some(Behavior::Fail) => async { Err(Failure::Error) }.boxed(),
            Some(Behavior::Panic) => async { panic!("the test wants a panic") }.boxed(),
            Some(Behavior::PanicImmediately) => panic!("the test wants a panic"),
            Some(Behavior::Hang) => std::future::pending().boxed(),
            Some(Behavior::Meet(barrier)) => async move {
                barrier.wait().await;
                ok()
            }
            .boxed(),
            Some(Behavior::WaitFor(notification)) => async move {
                notification.notified().await;
                ok()
            }
            .boxed(),
        }
    }
}
