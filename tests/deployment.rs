//! The function `migrate` as a custom resource of CloudFormation: a deployment waits for its answer.

use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::put;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::TestApp;

/// The event of a deployment (AWS CloudFormation User Guide, "Custom resource request types"), and the answers that its
/// URL receives.
async fn deployment(request_type: &str) -> (Value, mpsc::UnboundedReceiver<Value>) {
    let (posted, answers) = mpsc::unbounded_channel();
    let receive = async move |headers: HeaderMap, body: String| {
        // Any other content type would not be the one that the URL is signed for.
        assert_eq!(headers["content-type"], "");
        posted.send(serde_json::from_str(&body).unwrap()).unwrap();
    };
    let router = Router::new().route("/answer", put(receive));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/answer?signature=x", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut event = json!({
        "RequestType": request_type,
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/coterie-dev/guid",
        "RequestId": "unique id for this request",
        "ResourceType": "AWS::CloudFormation::CustomResource",
        "LogicalResourceId": "Migration",
        "ResourceProperties": {"ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:migrate"},
    });
    if request_type != "Create" {
        event["PhysicalResourceId"] = json!("Migration");
    }
    (event, answers)
}

async fn answer(answers: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    timeout(Duration::from_secs(20), answers.recv()).await.expect("no answer").unwrap()
}

#[tokio::test]
async fn a_deployment_is_told_that_the_schema_is_up_to_date() {
    let app = TestApp::start().await;
    for request_type in ["Create", "Update"] {
        let (event, mut answers) = deployment(request_type).await;
        assert_eq!(app.invoke("migrate", event).await.unwrap(), json!({"applied": []}));
        assert_eq!(
            answer(&mut answers).await,
            json!({
                "Status": "SUCCESS",
                "Reason": "applied: []",
                "PhysicalResourceId": "Migration",
                "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/coterie-dev/guid",
                "RequestId": "unique id for this request",
                "LogicalResourceId": "Migration",
            })
        );
    }
}

#[tokio::test]
async fn a_deployment_whose_migration_fails_is_told_so_and_learns_no_secret() {
    let app = TestApp::without_database().await;
    let (event, mut answers) = deployment("Update").await;
    app.invoke("migrate", event).await.unwrap_err();
    let answer = answer(&mut answers).await;
    assert_eq!(answer["Status"], "FAILED");
    assert_eq!(
        answer["Reason"],
        "The database does not answer. Try again in a moment. The log of the function has the cause."
    );
}

#[tokio::test]
async fn deleting_the_stack_does_not_touch_the_database() {
    let app = TestApp::without_database().await;
    let (event, mut answers) = deployment("Delete").await;
    assert_eq!(app.invoke("migrate", event).await.unwrap(), json!({"applied": []}));
    assert_eq!(answer(&mut answers).await["Status"], "SUCCESS");
}
