//! The gateway's `@connections` API and its queues, as the AWS SDK sees them.

use std::sync::Arc;

use aws_sdk_apigatewaymanagement::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_sdk_apigatewaymanagement::{Client, Config};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{SendMessageBatchRequestEntry, SendMessageBatchResultEntry};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use gateway::connections::Connections;
use gateway::invoke::{Failure, Functions};
use gateway::limits::{BYTES_WAITING, GatewayLimits, JOB_BYTES, MESSAGE_BYTES};
use gateway::queues::Queues;
use gateway::sqs::queue_url;
use gateway::template::{BUILT_IN, Template};
use gateway::{Gateway, management};
use serde_json::Value;
use serde_json::value::RawValue;
use shared::base::jobs::Queue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Functions that record their events and return 200 once `may_return` has a permit.
struct Recording {
    events: mpsc::UnboundedSender<Value>,
    may_return: Arc<Semaphore>,
}

impl Functions for Recording {
    fn invoke(
        &self,
        _name: &str,
        _request_id: &str,
        event: Box<RawValue>,
    ) -> BoxFuture<'static, Result<Box<RawValue>, Failure>> {
        _ = self.events.send(serde_json::from_str(event.get()).unwrap());
        let may_return = self.may_return.clone();
        Box::pin(async move {
            _ = may_return.acquire().await;
            Ok(RawValue::from_string(r#"{"statusCode":200}"#.to_owned()).unwrap())
        })
    }
}

/// A gateway with its management API.
struct Served {
    client: Client,
    url: String,
    management_url: String,
    events: mpsc::UnboundedReceiver<Value>,
    may_return: Arc<Semaphore>,
}

impl Served {
    async fn start() -> Self {
        Self::with_permits(1).await
    }

    /// A gateway whose functions return only while there are permits.
    async fn with_permits(permits: usize) -> Self {
        let may_return = Arc::new(Semaphore::new(permits));
        let connections = Arc::new(Connections::default());
        let (recorded, events) = mpsc::unbounded_channel();
        let template = Template::parse(BUILT_IN).unwrap();
        let functions = Arc::new(Recording { events: recorded, may_return: may_return.clone() });
        let queues = Arc::new(Queues::new(&template));
        let limits = GatewayLimits::default();
        let gateway = Gateway::new(template, functions, connections.clone(), queues.clone(), limits).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        tokio::spawn(gateway.serve(listener, std::future::pending()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let management_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(management::serve(connections, queues, listener));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("tests", "tests", None, None, "tests"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&management_url);
        Self { client: Client::from_conf(config.build()), url, management_url, events, may_return }
    }

    /// An open socket, and its connection id.
    async fn connect(&mut self) -> (Stream, String) {
        let (stream, _) = connect_async(self.url.as_str()).await.unwrap();
        (stream, self.event().await["connectionId"].as_str().unwrap().to_owned())
    }

    /// The context of the next event.
    async fn event(&mut self) -> Value {
        self.events.recv().await.unwrap()["requestContext"].take()
    }

    /// A client of the queues beside the management API, and the URL of one of them.
    fn queue(&self, queue: Queue) -> (aws_sdk_sqs::Client, String) {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("tests", "tests", None, None, "tests"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&self.management_url);
        (aws_sdk_sqs::Client::from_conf(config.build()), queue_url(&self.management_url, queue))
    }

    async fn post(&self, connection_id: &str, frame: Vec<u8>) -> Result<(), (u16, Option<String>)> {
        let post = self.client.post_to_connection().connection_id(connection_id).data(Blob::new(frame));
        post.send().await.map(drop).map_err(|error| refusal(&error))
    }
}

/// The status of an error, and the SDK's name for it.
fn refusal<E: aws_sdk_apigatewaymanagement::error::ProvideErrorMetadata>(
    error: &SdkError<E>,
) -> (u16, Option<String>) {
    let status = error.raw_response().unwrap().status().as_u16();
    (status, error.as_service_error().and_then(|error| error.code()).map(str::to_owned))
}

fn named<T>(status: u16, name: &str) -> Result<T, (u16, Option<String>)> {
    Err((status, Some(name.to_owned())))
}

#[tokio::test]
async fn a_post_reaches_the_socket_as_text_up_to_the_largest_message() {
    let mut served = Served::start().await;
    let (mut socket, id) = served.connect().await;
    assert!(id.ends_with('='), "{id}");
    assert_eq!(served.post(&id, "héllo".into()).await, Ok(()));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("héllo"));
    assert_eq!(served.post(&id, vec![b'x'; MESSAGE_BYTES]).await, Ok(()));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("x".repeat(MESSAGE_BYTES)));
    assert_eq!(served.post(&id, vec![b'x'; MESSAGE_BYTES + 1]).await, named(413, "PayloadTooLargeException"));
}

#[tokio::test]
async fn get_connection_returns_the_details_of_a_connection() {
    let mut served = Served::start().await;
    let mut request = served.url.as_str().into_client_request().unwrap();
    request.headers_mut().insert("user-agent", "tests".parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let event = served.event().await;
    let id = event["connectionId"].as_str().unwrap();
    socket.send(Message::text("{}")).await.unwrap();
    assert_eq!(served.event().await["eventType"], "MESSAGE");
    let found = served.client.get_connection().connection_id(id).send().await.unwrap();
    let identity = found.identity().unwrap();
    assert_eq!((identity.source_ip(), identity.user_agent()), (Some("127.0.0.1"), Some("tests")));
    assert_eq!(found.connected_at().unwrap().to_millis().unwrap(), event["connectedAt"]);
    assert!(found.connected_at().unwrap() <= found.last_active_at().unwrap());
}

#[tokio::test]
async fn a_deleted_connection_closes_and_is_gone_at_once() {
    let mut served = Served::start().await;
    let (mut socket, id) = served.connect().await;
    let http = reqwest::Client::new();
    let path =
        format!("{}/@connections/{}", served.management_url, id.replace('=', "%3D").replace('/', "%2F"));
    assert_eq!(http.delete(&path).send().await.unwrap().status(), 204);
    assert_eq!(served.post(&id, "late".into()).await, named(410, "GoneException"));
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else {
        panic!("the socket is not closed")
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1000, "Connection Closed Normally"));
    drop(socket);
    let event = served.event().await;
    assert_eq!((&event["eventType"], &event["disconnectStatusCode"]), (&"DISCONNECT".into(), &1000.into()));
}

#[tokio::test]
async fn an_unknown_connection_id_is_gone() {
    let served = Served::start().await;
    let id = "TXzPWdnOjoECGjA=";
    assert_eq!(served.post(id, "anybody?".into()).await, named(410, "GoneException"));
    let got = served.client.get_connection().connection_id(id).send().await;
    assert!(got.unwrap_err().into_service_error().is_gone_exception());
    let deleted = served.client.delete_connection().connection_id(id).send().await;
    assert!(deleted.unwrap_err().into_service_error().is_gone_exception());
}

#[tokio::test]
async fn a_connection_is_gone_until_its_connect_function_has_returned() {
    let mut served = Served::with_permits(0).await;
    let url = served.url.clone();
    let connecting = tokio::spawn(async move { connect_async(url).await.unwrap().0 });
    let id = served.event().await["connectionId"].as_str().unwrap().to_owned();
    assert_eq!(served.post(&id, "early".into()).await, named(410, "GoneException"));
    served.may_return.add_permits(1);
    let mut socket = connecting.await.unwrap();
    assert_eq!(served.post(&id, "in time".into()).await, Ok(()));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("in time"));
}

#[tokio::test]
async fn posts_to_a_socket_that_does_not_read_are_refused_when_its_queue_is_full() {
    let mut served = Served::start().await;
    let (_socket, id) = served.connect().await;
    // What fits into the queue and into the system's buffers at both ends.
    let most = (BYTES_WAITING + 32 * 1024 * 1024) / MESSAGE_BYTES;
    for _ in 0..most {
        match served.post(&id, vec![b'x'; MESSAGE_BYTES]).await {
            Ok(()) => {}
            refused => return assert_eq!(refused, named(429, "LimitExceededException")),
        }
    }
    panic!("a socket that does not read has a queue of {most} messages");
}

#[tokio::test]
async fn the_management_port_serves_nothing_else() {
    let served = Served::start().await;
    let answer = reqwest::get(format!("{}/health", served.management_url)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-amzn-errortype"]),
        (403, &"ForbiddenException".parse().unwrap())
    );
}

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

#[tokio::test]
async fn jobs_sent_to_a_queue_arrive_at_its_function() {
    let mut served = Served::start().await;
    let (client, url) = served.queue(Queue::FanOut);
    let one = client.send_message().queue_url(&url).message_body("one").send().await.unwrap();
    let delivered = served.events.recv().await.unwrap()["Records"][0].take();
    assert_eq!(delivered["body"], "one");
    assert_eq!(delivered["messageId"], one.message_id().unwrap());
    assert_eq!(delivered["md5OfBody"], one.md5_of_message_body().unwrap());

    let entries = vec![entry("a", "two"), entry("b", "three")];
    let sent = client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await.unwrap();
    let ids = sent.successful().iter().map(SendMessageBatchResultEntry::id);
    assert_eq!(ids.collect::<Vec<_>>(), ["a", "b"]);
    assert!(sent.failed().is_empty());
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let event = served.events.recv().await.unwrap();
        bodies.push(event["Records"][0]["body"].as_str().unwrap().to_owned());
    }
    bodies.sort();
    assert_eq!(bodies, ["three", "two"]);
}

#[tokio::test]
async fn a_queue_refuses_what_sqs_refuses() {
    let served = Served::start().await;
    let (client, url) = served.queue(Queue::FanOut);
    let unknown = client.send_message().queue_url(format!("{url}s")).message_body("x").send().await;
    assert!(unknown.unwrap_err().into_service_error().is_queue_does_not_exist());
    let refused = async |entries: Vec<SendMessageBatchRequestEntry>| {
        let sent = client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await;
        sent.unwrap_err().into_service_error()
    };
    assert!(refused(Vec::new()).await.is_empty_batch_request());
    let many = (0..11).map(|id| entry(&id.to_string(), "x")).collect();
    assert!(refused(many).await.is_too_many_entries_in_batch_request());
    assert!(refused(vec![entry("a", "x"), entry("a", "y")]).await.is_batch_entry_ids_not_distinct());
    let half = "x".repeat(JOB_BYTES / 2 + 1);
    assert!(refused(vec![entry("a", &half), entry("b", &half)]).await.is_batch_request_too_long());
    let deleted = client.delete_message().queue_url(&url).receipt_handle("x").send().await;
    assert_eq!(deleted.unwrap_err().into_service_error().code(), Some("UnknownOperationException"));
}
