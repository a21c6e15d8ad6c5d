//! The tests of this example: those of its modules, and the server as a client sees it.

mod answer;
#[path = "../support/arguments.rs"]
mod arguments;
#[path = "../support/client.rs"]
mod client;
mod corpus;
mod merge;
mod rank;
mod server;

use client::Client;
use rmcp::{ServiceExt as _, model::ErrorCode};
use serde_json::json;
use server::SearchAggregator;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn the_missions_call_runs_as_written() {
    let client = Client::to(SearchAggregator::new()).await;
    let arguments = json!({
        "query": "market trends in AI", "providers": ["brave", "tavily"], "maxResults": 20
    });
    let result = client.call(arguments).await;
    let answer = result.structured_content.expect("is structured");
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(20));
    assert_eq!(answer["results"][0]["topic"], "ai-markets");
    let text = &result.content[0].as_text().expect("is text").text;
    assert!(text.contains("\n1. Market trends in AI"), "{text}");
}

#[tokio::test]
async fn defaults_hold_and_strange_arguments_are_passed_over() {
    let client = Client::to(SearchAggregator::new()).await;
    let arguments = json!({"query": "AI market trends", "chartType": "bar", "providers": null});
    let answer = client.call(arguments).await.structured_content;
    let answer = answer.expect("is structured");
    assert_eq!(answer["providers"], json!(["brave", "tavily"]));
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(10));
}

#[tokio::test]
async fn bad_arguments_are_refused_by_name() {
    let client = Client::to(SearchAggregator::new()).await;
    for (arguments, message) in [
        (json!({}), "\"query\" is a required property"),
        (json!({"query": " "}), "query: "),
        (
            json!({"query": "q", "providers": ["bing"]}),
            "providers.0: \"bing\" is not one of \"brave\" or \"tavily\"",
        ),
        (json!({"query": "q", "providers": []}), "providers: "),
        (
            json!({"query": "q", "providers": ["brave", "brave"]}),
            "providers: ",
        ),
        (
            json!({"query": "q", "maxResults": 0}),
            "maxResults: 0 is less than the minimum of 1",
        ),
        (
            json!({"query": "q", "maxResults": 101}),
            "maxResults: 101 is greater than the maximum of 100",
        ),
    ] {
        let refusal = client.refusal(arguments).await;
        assert_eq!(refusal.code, ErrorCode::INVALID_PARAMS);
        assert!(refusal.message.contains(message), "{}", refusal.message);
    }
}

/// The SDK sends no notification any more once its input has ended; a call that waited for one to
/// be taken lost its answer.
#[tokio::test]
async fn an_input_that_ends_during_a_call_does_not_cost_the_answer() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut from_server, mut to_server) = tokio::io::split(near);
    let lines = [
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "execute_parallel_search", "arguments": {"query": "wind"},
            "_meta": {"progressToken": "p"}}}),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    to_server
        .write_all(input.as_bytes())
        .await
        .expect("is read");
    to_server.shutdown().await.expect("ends the input");

    let running = SearchAggregator::new().serve(far).await;
    let running = running.expect("the handshake succeeds");
    running.waiting().await.expect("the server does not panic");
    let mut output = String::new();
    let read = from_server.read_to_string(&mut output).await;
    read.expect("the output ends with the server");
    assert!(output.contains("\"id\":1,\"result\""), "{output}");
}
