//! The tests of this example: those of its modules, and the server as a client sees it.

#[path = "../support/arguments.rs"]
mod arguments;
#[path = "../support/client.rs"]
mod client;
mod content;
mod markdown;
mod plan;
mod priority;
mod server;

use client::Client;
use rmcp::model::ErrorCode;
use serde_json::json;
use server::TaskOrchestrator;

#[tokio::test]
async fn a_document_becomes_tasks() {
    let client = Client::to(TaskOrchestrator::new()).await;
    let content = "# Login\n1. The page must ask for a name.\n2. It should remember it.\n";
    let result = client.call(json!({"content": content})).await;
    assert_eq!(
        result.structured_content.expect("is structured")["tasks"],
        json!([
            {"id": "prd-1", "title": "The page must ask for a name", "priority": "high",
             "dependsOn": [], "section": "Login"},
            {"id": "prd-2", "title": "It should remember it", "priority": "medium",
             "dependsOn": ["prd-1"], "section": "Login"},
        ])
    );
    let text = &result.content[0].as_text().expect("is text").text;
    assert!(
        text.contains("\nLogin\n- prd-1 [high] The page must ask for a name\n- prd-2"),
        "{text}"
    );
}

#[tokio::test]
async fn bad_arguments_are_refused_by_name() {
    let client = Client::to(TaskOrchestrator::new()).await;
    for (arguments, message) in [
        (json!({}), "\"content\" is a required property"),
        (json!({"content": 7}), "content: 7 is not of types"),
        (json!({"content": " \n"}), "content: is empty"),
        (json!({"content": {"a": 1}}), "content: give a document"),
        (
            json!({"content": "x", "maxTasks": 0}),
            "maxTasks: 0 is less than the minimum of 1",
        ),
        (json!({"content": "x", "source": ""}), "source: "),
    ] {
        let refusal = client.refusal(arguments).await;
        assert_eq!(refusal.code, ErrorCode::INVALID_PARAMS);
        assert!(refusal.message.contains(message), "{}", refusal.message);
    }
}
