//! Cases that take more than one step. Those of tokens and grants are in [`access`].

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, Instant, sleep},
};

use super::{Mallory, access, all_rows, schema, wire};
use crate::{
    gateway::{Place, read, text},
    stage::{PATIENCE, Process, Stage, fixture, real, servers},
};

fn hello() -> Value {
    json!({"text": "hello"})
}

/// An address is logged on the way: a token in it is one that was told.
async fn token_in_query(place: &Place) -> String {
    let client = place.client("");
    let list = client.request("tools/list", json!({}));
    let with = |query: &str| {
        let mut client = place.client("");
        client.url.push_str(query);
        read(client.post(&list))
    };
    assert_eq!(with("?page=1").await.status, 200, "the twin");
    let said = with(&format!("?access_token={}", place.everything)).await;
    assert!(!said.body.contains(&place.everything));
    said.status.to_string()
}

/// What is in arguments is carried; it is in no line of the log.
async fn token_in_arguments() -> String {
    let (python, modern) = (real("python"), fixture("modern.py"));
    let stage = Stage::new(&servers(&[("modern", &python, &[modern.as_os_str()])]));
    let mesh = Process::start(&stage).await;
    let caller = stage.caller().await;
    let canary = "eyJhbGciOiJFZERTQSJ9.canary.canary";
    let said = caller
        .call_tool("modern", "echo", json!({"text": canary}))
        .await;
    assert_eq!(said.expect("carried").text(), canary);
    let refused = caller
        .call_tool("modern", canary, json!({"text": canary}))
        .await;
    refused.expect_err("no such tool");
    let denied = caller
        .call_tool("nobody", "echo", json!({"text": canary}))
        .await;
    denied.expect_err("no such server");
    caller.close().await;
    let log = stage.said();
    assert!(log.contains("modern"), "there is a log: {log}");
    drop(mesh);
    let text = |line: &&str| line.contains("\"text\"") || line.contains("arguments");
    match log
        .lines()
        .filter(|line| line.contains("canary"))
        .find(text)
    {
        None => "carried, not logged".to_owned(),
        Some(line) => format!("logged: {line}"),
    }
}

/// What a server does not have is its own to say; what nobody has, ours.
async fn unknown_resource(place: &Place) -> String {
    let older = place.client("/legacy").opened("2025-11-25").await;
    let uri = json!({"uri": "file:///etc/passwd"});
    let said = older.ask("resources/read", uri).await;
    assert!(!said.body.contains("root:"), "{}", said.body);
    match &said.json()["error"]["message"] {
        Value::String(own) if own.contains("Unknown resource") => {
            "the server's own error".to_owned()
        }
        _ => said.body,
    }
}

/// A bare CR in a header costs an adapter one connection at most: the next call but a few passes.
async fn bare_cr(place: &Place) -> String {
    let mallory = Mallory::narrow(place).await;
    let head = format!("Authorization: Bearer {}\r\n", mallory.call_token());
    let mut raw = wire::enter(place, &mallory).await;
    let to = "weft.v1.req.mallory.modern.tools.call.echo";
    let reply = "weft.v1.rep.mallory.c1.modern.0198a5c0000070008000000000000000";
    raw.publish(to, reply, "X-Any: a\rb\r\n", b"{}").await;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let said = place.client("").call("modern__echo", hello()).await;
        if said.status == 200 && said.code() == 0 {
            let mut raw = wire::enter(place, &mallory).await;
            assert_eq!(wire::call(&mut raw, &head).await, "passes");
            return "passes again".to_owned();
        }
        sleep(Duration::from_millis(50)).await;
    }
    "gone for good".to_owned()
}

/// Nothing at the gateway takes a command: there is nothing to take it.
async fn command_in_a_body(place: &Place) -> String {
    let root = place.url().replace("/mcp", "");
    let body = json!({"name": "x", "command": "/bin/sh", "args": ["-c", "exit"], "env": {}});
    let mut statuses = Vec::new();
    for path in [
        "/api/v1/servers",
        "/servers",
        "/api/v1/servers/test",
        "/mcp/x/test",
    ] {
        let client = place.client("");
        let request = client
            .http
            .post(format!("{root}{path}"))
            .bearer_auth(&client.token);
        let said = request
            .body(body.to_string())
            .send()
            .await
            .expect("an answer");
        statuses.push(said.status().as_u16());
    }
    for tool in ["server_add", "server_start", "server_test"] {
        let operator = place.stage.caller().await;
        let said = operator.control::<Value>(tool, body.clone()).await;
        said.expect_err("there is no such tool");
        operator.close().await;
    }
    statuses.dedup();
    let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
    format!("{}, no child", statuses.join(" "))
}

/// What a loader runs before the program does not come from a list of servers.
async fn ld_preload() -> String {
    let check = async |name: &str| {
        let yaml = format!("servers: {{ a: {{ command: x, env: {{ {name}: /tmp/x.so }} }} }}\n");
        let stage = Stage::new(&yaml);
        let mut weft = stage.weft(&["config", "check", "-c", "weft.yaml"]);
        weft.stdout(Stdio::null()).stderr(Stdio::null());
        weft.status().expect("it runs").success()
    };
    assert!(check("LD_ANY").await, "the twin");
    for name in ["LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"] {
        if check(name).await {
            return format!("{name} is taken");
        }
    }
    "refused".to_owned()
}

/// The gateway speaks HTTP/1.1 alone: what only HTTP/2 has can't be sent to it.
async fn http2(place: &Place) -> String {
    let url = place.url();
    let address = url.split('/').nth(2).expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).await.expect("sent");
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // Settings of HTTP/2 would be a frame that begins with its length.
    match (read, said.first()) {
        (Err(_), _) => "it waits".to_owned(),
        (_, None | Some(b'H')) => "no HTTP/2".to_owned(),
        (_, Some(_)) => format!("{said:?}"),
    }
}

async fn tool_error_and_deadline() -> String {
    let place = Place::with("policy: { timeout: 1s }\n").await;
    let client = place.client("");
    let failed = client.call("modern__fail", json!({})).await.json();
    let failed = if failed["result"]["isError"] == true {
        "isError"
    } else {
        "?"
    };
    let quick = client
        .call("modern__slow", json!({"seconds": 0.1}))
        .await
        .json();
    assert!(text(&quick).contains("slept"), "the twin: {quick}");
    let late = client.call("modern__slow", json!({"seconds": 20})).await;
    let said = format!("{failed}, {} {}", late.status, late.code());
    place.end().await;
    said
}

async fn case(place: &Place, name: &str) -> String {
    match name {
        "revoked" => access::revoked(place).await,
        "anothers-proof" => access::anothers_proof(place).await,
        "empty-secrets" => access::empty_secrets().await,
        "replayed-by-another" => access::replayed(place).await,
        "deny-wins" => access::deny_wins(place).await,
        "negated-condition" => access::negated_condition(place).await,
        "condition-types" => access::condition_types(place).await,
        "older-narrow" => access::older_narrow(place).await,
        "token-in-query" => token_in_query(place).await,
        "token-in-arguments" => token_in_arguments().await,
        "unknown-resource" => unknown_resource(place).await,
        "bare-cr-in-a-header" => bare_cr(place).await,
        "command-in-a-body" => command_in_a_body(place).await,
        "schema-that-points-elsewhere" => schema::points_elsewhere().await,
        "schema-that-takes-long" => schema::takes_long().await,
        "two-readers" => schema::two_readers().await,
        "ld-preload" => ld_preload().await,
        "http2" => http2(place).await,
        "tool-error-and-deadline" => tool_error_and_deadline().await,
        other => panic!("no case is {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cases() {
    let place = Place::open().await;
    let of = &place;
    all_rows(&["case"], |row| Box::pin(case(of, row.sent))).await;
    let said = place.client("").call("modern__echo", hello()).await;
    assert_eq!(said.status, 200, "after all of them");
    place.end().await;
}
