//! Requests at the gateway. A row changes one thing of a request that passes: `post` its body,
//! `head` one header, `tool` the name that is called, `args` the arguments; `body` is sent by a
//! caller who may call one tool.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Row, all_rows, spelt, spelt_text};
use crate::gateway::{Client, Place};

/// What came back: the status, and the code where there is one.
async fn told(request: reqwest::RequestBuilder) -> String {
    let Ok(said) = request.send().await else {
        // The listener answers and closes: who still writes may see no more than that.
        return "431 closed".to_owned();
    };
    let status = said.status().as_u16();
    let body = said.text().await.unwrap_or_default();
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    match body["error"]["code"].as_i64() {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

/// A request with this body, and the headers that would go with its method and its name.
fn post(client: &Client, body: Vec<u8>) -> reqwest::RequestBuilder {
    let read: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = read["method"].as_str().unwrap_or("tools/list");
    let name = &read["params"]["name"];
    client
        .post(&json!({"method": method, "params": {"name": name}}))
        .body(body)
}

/// A call of a tool of any name.
fn tool(client: &Client, name: &str) -> reqwest::RequestBuilder {
    let body = client.request(
        "tools/call",
        json!({"name": name, "arguments": {"text": "a"}}),
    );
    let header = format!("=?base64?{}?=", BASE64.encode(name.as_bytes()));
    client
        .post(&json!({"method": "tools/call"}))
        .header("mcp-name", header)
        .body(body.to_string())
}

/// A call with arguments as they are spelt.
pub(super) async fn arguments(client: &Client, tool: &str, spelt: &[u8]) -> String {
    let params = json!({"name": tool, "arguments": "<<ARGS>>"});
    let body = client.request("tools/call", params).to_string();
    let (before, after) = body.split_once("\"<<ARGS>>\"").expect("a place");
    let body = [before.as_bytes(), spelt, after.as_bytes()].concat();
    let request = client
        .post(&json!({"method": "tools/call", "params": {"name": tool}}))
        .body(body);
    match told(request).await.as_str() {
        "200" => "carried".to_owned(),
        said => said.to_owned(),
    }
}

async fn head(client: &Client, sent: &str) -> String {
    let (name, value) = sent.split_once(": ").expect("a header");
    let params = json!({"name": "modern__echo", "arguments": {"text": "a"}});
    let call = client.request("tools/call", params);
    let mut request = client.post(&call).build().expect("a request");
    let value = spelt_text(value).parse().expect("a value");
    let name: reqwest::header::HeaderName = name.parse().expect("a name");
    request.headers_mut().insert(name, value);
    told(reqwest::RequestBuilder::from_parts(
        client.http.clone(),
        request,
    ))
    .await
}

async fn run(all: &Client, narrow: &Client, row: Row) -> String {
    match row.way {
        "post" => told(post(all, spelt(row.sent))).await,
        "body" => told(post(narrow, spelt(row.sent))).await,
        "args" => arguments(all, "modern__echo", &spelt(row.sent)).await,
        "head" => head(all, row.sent).await,
        "tool" => {
            let (who, name) = row.sent.split_once(' ').expect("who, and a name");
            let by = if who == "all" { all } else { narrow };
            told(tool(by, &spelt_text(name))).await
        }
        other => panic!("{other} is no way here"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let place = Place::open().await;
    let token = place.token("mallory", &["call:tools/modern/echo"]).await;
    let (all, narrow) = (place.client(""), place.client_with("", &token));
    let twins = async || {
        assert_eq!(told(tool(&all, "modern__echo")).await, "200");
        assert_eq!(told(tool(&narrow, "modern__echo")).await, "200");
        assert_eq!(
            arguments(&all, "modern__echo", br#"{"text":"a"}"#).await,
            "carried"
        );
        assert_eq!(head(&all, "x-any: thing").await, "200");
        let list = all.request("tools/list", json!({})).to_string();
        assert_eq!(told(post(&narrow, list.into_bytes())).await, "200");
    };
    twins().await;
    let (all, narrow) = (&all, &narrow);
    all_rows(&["post", "body", "args", "head", "tool"], |row| {
        run(all, narrow, row)
    })
    .await;
    twins().await;
    place.end().await;
}
