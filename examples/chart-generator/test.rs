//! The tests of this example: those of its modules, and the server as a client sees it.

#[path = "../support/arguments.rs"]
mod arguments;
mod chart;
#[path = "../support/client.rs"]
mod client;
mod server;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Client;
use rmcp::model::ErrorCode;
use serde_json::json;
use server::ChartGenerator;

#[tokio::test]
async fn a_chart_is_an_image_and_a_document() {
    let client = Client::to(ChartGenerator::new()).await;
    let arguments = json!({
        "type": "bar", "data": {"labels": ["a", "b"], "values": [1, 2.5]}, "options": null
    });
    let result = client.call(arguments).await;
    let drawing = result.structured_content.expect("is structured");
    assert_eq!(
        (&drawing["width"], &drawing["height"], &drawing["points"]),
        (&json!(800), &json!(450), &json!(2))
    );
    let image = result.content[0].as_image().expect("is an image");
    assert_eq!(image.mime_type, "image/svg+xml");
    let decoded = STANDARD.decode(&image.data).expect("is base64");
    assert_eq!(drawing["svg"].as_str().map(str::as_bytes), Some(&*decoded));
    let text = &result.content[1].as_text().expect("is text").text;
    assert!(text.contains("Bar chart of 2 points"), "{text}");
}

#[tokio::test]
async fn bad_arguments_are_refused_by_name() {
    let client = Client::to(ChartGenerator::new()).await;
    let with = |values: serde_json::Value| json!({"labels": ["a", "b"], "values": values});
    for (arguments, message) in [
        (
            json!({"data": with(json!([1, 2]))}),
            "\"type\" is a required property",
        ),
        (json!({"type": "bar"}), "\"data\" is a required property"),
        (
            json!({"type": "area", "data": with(json!([1, 2]))}),
            "type: \"area\" is not one of \"bar\", \"line\" or \"pie\"",
        ),
        (
            json!({"type": "bar", "data": with(json!([1]))}),
            "data: labels and values must be equally many, and there are 2 labels and 1 values",
        ),
        (
            json!({"type": "bar", "data": with(json!([1, null]))}),
            "data.values.1: null is not of type \"number\"",
        ),
        (
            json!({"type": "bar", "data": with(json!([1, "NaN"]))}),
            "data.values.1: \"NaN\" is not of type \"number\"",
        ),
        (
            json!({"type": "pie", "data": with(json!([1, -2]))}),
            "data.values.1: -2 is below 0",
        ),
        (
            json!({"type": "bar", "data": with(json!([1, 2])), "options": {"width": 15}}),
            "options.width: 15 is less than the minimum of 16",
        ),
        (
            json!({"type": "bar", "data": {"labels": vec!["x"; 201], "values": vec![1; 201]}}),
            "data.labels: the value has more than 200 items",
        ),
    ] {
        let refusal = client.refusal(arguments).await;
        assert_eq!(refusal.code, ErrorCode::INVALID_PARAMS);
        assert!(refusal.message.contains(message), "{}", refusal.message);
    }
}
