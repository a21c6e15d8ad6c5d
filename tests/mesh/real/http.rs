//! The reference server that speaks HTTP: what it says through Weft is what it says to an HTTP
//! client of its own, and what it says over stdio.

use regex::Regex;
use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::{Value, json};
use weftbus::mcp::version::Era;

use super::{Plans, Said, bare, next};
use crate::{http_upstream::process::Process, stage::Stage};

const SERVER: &str = "server-everything";

/// A client of an older server over HTTP, with nothing of Weft in between.
struct Direct {
    http: Client,
    url: String,
    session: String,
    last: u64,
    info: Value,
}

impl Direct {
    async fn open(url: String) -> Self {
        let mut direct = Self {
            http: Client::builder().no_proxy().build().expect("a client"),
            url,
            session: String::new(),
            last: 0,
            info: Value::Null,
        };
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "direct", "version": "1"}});
        let answer = direct.request("initialize", params).await;
        direct.info = answer["result"]["serverInfo"].clone();
        let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        direct.send(&told).await;
        direct
    }

    /// All messages that come on one request.
    async fn send(&mut self, message: &Value) -> Vec<Value> {
        let mut request = self
            .http
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(message.to_string());
        if !self.session.is_empty() {
            request = request
                .header("Mcp-Session-Id", &self.session)
                .header("MCP-Protocol-Version", "2025-11-25");
        }
        let response = request.send().await.expect("it answers");
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().expect("text").to_owned())
        };
        if let Some(session) = header("mcp-session-id") {
            self.session = session;
        }
        let is_stream = header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.contains("event"));
        let text = response.text().await.expect("text");
        let messages = if is_stream {
            text.lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .collect()
        } else {
            vec![text.as_str()]
        };
        let read = |message: &str| serde_json::from_str(message).ok();
        messages.into_iter().filter_map(read).collect()
    }

    /// The response: what it has besides `jsonrpc` and `id`.
    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let said = self.send(&request).await;
        let answer = said.into_iter().find(|message| message["id"] == id);
        bare(answer.expect("an answer"))
    }
}

/// Two tools name the session that they were called in; over stdio there is none.
fn without_session(answer: &mut Value) {
    let named = Regex::new("session ([0-9a-f-]{36}|undefined)").expect("a pattern");
    let text = answer.pointer_mut("/result/content/0/text");
    if let Some(Value::String(text)) = text {
        *text = named.replace_all(text, "session <its own>").into_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_it_says_what_it_says() {
    let plans = Plans::read();
    let plan = &plans.servers[SERVER];
    let process = Process::everything(0);
    let stage = Stage::new(&format!(
        "servers: {{ {SERVER}: {{ url: '{}' }} }}\n",
        process.url()
    ));
    let up = stage.up().await;
    let caller = stage.caller().await;

    let mut server = Direct::open(process.url()).await;
    let folder = stage.path().join("direct").join(SERVER);
    let mut direct = Said {
        pages: Vec::new(),
        answers: Vec::new(),
        era: Era::Legacy,
        info: Some(server.info.clone()),
    };
    let mut params = Some(json!({}));
    while let Some(page) = params.take() {
        let page = server.request("tools/list", page).await;
        params = next(&page);
        direct.pages.push(plan.scrubbed(page, None, &folder));
    }
    for step in plan.steps(&folder) {
        let params = json!({"name": step.tool, "arguments": step.arguments});
        let answer = server.request("tools/call", params).await;
        direct
            .answers
            .push(plan.scrubbed(answer, Some(&step), &folder));
    }

    let mut weft = Said::through(&caller, SERVER, plan, &stage, &direct).await;
    weft.answers.iter_mut().for_each(without_session);
    direct.answers.iter_mut().for_each(without_session);
    assert_eq!(weft.pages, direct.pages);
    let steps = plan.steps(&folder);
    assert_eq!(
        (weft.answers.len(), direct.answers.len()),
        (24, steps.len())
    );
    for (step, (weft, direct)) in steps.iter().zip(weft.answers.iter().zip(&direct.answers)) {
        assert_eq!(weft, direct, "{} {}", step.tool, step.arguments);
        assert_eq!(super::failed(weft), step.must_fail, "{}: {weft}", step.tool);
    }
    // The same calls over stdio: the transport makes no difference to what is said.
    let mut stdio = tokio::task::block_in_place(|| Said::directly(SERVER, plan, &stage));
    stdio.answers.iter_mut().for_each(without_session);
    assert_eq!(stdio.pages, direct.pages);
    for (step, (stdio, http)) in steps.iter().zip(stdio.answers.iter().zip(&direct.answers)) {
        // What a process has in its environment is its own.
        if step.tool != "get-env" {
            assert_eq!(stdio, http, "{} {}", step.tool, step.arguments);
        }
    }
    caller.close().await;
    up.stop().await;
}
