use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use gateway::invoke::Failure;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify, mpsc};
use tokio::time::timeout;

use super::PATIENCE;

/// What a function does with an event.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Answers this.
    Answer(Value),
    /// Answers this text, which need not be JSON.
    Say(&'static str),
    /// Fails.
    Throw,
    /// Panics in the future that runs it.
    Panic,
    /// Panics before there is a future.
    PanicAtOnce,
    /// Never answers.
    Hang,
    /// Answers 200 when as many runs as the barrier waits for are under way at once.
    Meet(Arc<Barrier>),
    /// Answers 200 when told.
    AwaitWord(Arc<Notify>),
}

/// Functions that do as they are told and keep the events that they are given.
#[derive(Debug)]
pub(crate) struct Functions {
    does: HashMap<&'static str, Does>,
    seen: Mutex<HashMap<String, Seen>>,
}

/// The events of one function.
#[derive(Clone, Debug)]
struct Seen {
    sender: mpsc::UnboundedSender<Value>,
    receiver: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>>,
}

impl Functions {
    /// Every function answers 200 but for these.
    pub(super) fn new(does: impl IntoIterator<Item = (&'static str, Does)>) -> Self {
        Self { does: does.into_iter().collect(), seen: Mutex::default() }
    }

    fn seen(&self, function: &str) -> Seen {
        let mut seen = self.seen.lock().unwrap();
        let new = || {
            let (sender, receiver) = mpsc::unbounded_channel();
            Seen { sender, receiver: Arc::new(tokio::sync::Mutex::new(receiver)) }
        };
        seen.entry(function.to_owned()).or_insert_with(new).clone()
    }

    /// The next event that this function was given.
    pub(super) async fn event(&self, function: &str) -> Value {
        let seen = self.seen(function);
        let mut receiver = seen.receiver.lock().await;
        timeout(PATIENCE, receiver.recv()).await.expect("the function is called").unwrap()
    }

    /// Whether this function has been given an event that nobody has looked at.
    pub(crate) fn has_event(&self, function: &str) -> bool {
        !self.seen(function).receiver.try_lock().expect("nobody waits").is_empty()
    }
}

impl gateway::invoke::Functions for Functions {
    fn invoke(
        &self,
        name: &str,
        request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        let event: Value = serde_json::from_str(event.get()).unwrap();
        // A schedule's event has no request, and an id of its own.
        let id = event.pointer("/requestContext/requestId").unwrap_or(&event["id"]);
        assert_eq!(id, request_id);
        self.seen(name).sender.send(event).unwrap();
        let answer = |answer: Value| Ok(to_raw_value(&answer).unwrap());
        let ok = move || answer(json!({ "statusCode": 200 }));
        match self.does.get(name).cloned() {
            None => async move { ok() }.boxed(),
            Some(Does::Answer(value)) => async move { answer(value) }.boxed(),
            // What an invocation brings back is JSON or a failure, in this process and over a wire.
            Some(Does::Say(text)) => {
                async move { RawValue::from_string(text.to_owned()).map_err(|_| Failure::Error) }.boxed()
            }
            Some(Does::Throw) => async { Err(Failure::Error) }.boxed(),
            Some(Does::Panic) => async { panic!("as the test wants it") }.boxed(),
            Some(Does::PanicAtOnce) => panic!("as the test wants it"),
            Some(Does::Hang) => std::future::pending().boxed(),
            Some(Does::Meet(barrier)) => async move {
                barrier.wait().await;
                ok()
            }
            .boxed(),
            Some(Does::AwaitWord(word)) => async move {
                word.notified().await;
                ok()
            }
            .boxed(),
        }
    }
}
