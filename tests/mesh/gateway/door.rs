//! Who is let in, and what stands before every request.

use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::oneshot::error::TryRecvError,
    time::{Duration, sleep, timeout},
};
use weftbus::{http, spawn::Tasks};

use super::{Place, read};
use crate::stage::PATIENCE;

/// A connection by hand: a head that no library would send, and the status that it gets.
async fn raw(place: &Place, head: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let url = place.url();
    let address = url.split('/').nth(2).expect("an address");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let head = head.replace("{address}", address).replace('\n', "\r\n");
    let length = body.len();
    let head = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("an answer");
    said.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_at_the_door_has_a_twin() {
    let place = Place::open().await;
    let client = place.client("");
    let list = client.request("tools/list", json!({}));
    assert_eq!(client.send(&list).await.status, 200, "the good twin");

    let none = client.post(&list).header("authorization", "");
    let missing = read(client.http.post(&client.url).body("{}")).await;
    assert_eq!(missing.status, 401);
    assert_eq!(missing.header("www-authenticate"), r#"Bearer realm="weft""#);
    assert_eq!(missing.code(), -31007);
    drop(none);
    for (token, why) in [
        ("garbage", "TOKEN_INVALID"),
        (place.everything.trim_end_matches(|_| true), "TOKEN_MISSING"),
    ] {
        let said = place.client_with("", token).send(&list).await;
        assert_eq!(said.status, 401, "{token}");
        assert_eq!(said.json()["error"]["data"]["kind"], why);
        let challenge = said.header("www-authenticate");
        assert_eq!(
            challenge.contains("invalid_token"),
            why == "TOKEN_INVALID",
            "{challenge}"
        );
    }

    for (name, value, status) in [
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("host", "evil.example", 403),
        ("host", "localhost.evil.example", 403),
        ("content-type", "text/plain", 415),
        ("accept", "text/html", 406),
    ] {
        let mut broken = client.post(&list).build().expect("a request");
        broken
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
        let said = client.http.execute(broken).await.expect("an answer");
        assert_eq!(said.status().as_u16(), status, "{name}: {value}");
    }
    let url = place.url();
    let own = url.trim_end_matches("/mcp");
    assert_eq!(
        read(client.post(&list).header("origin", own)).await.status,
        200
    );
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_no_library_sends() {
    let place = Place::open().await;
    let token = &place.everything;
    let post = |target: &str, host: &str| {
        format!(
            "POST {target} HTTP/1.1\n{host}Authorization: Bearer {token}\nContent-Type: application/json"
        )
    };
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    for (target, host, status) in [
        ("/mcp", "Host: {address}\n", "HTTP/1.1 202 Accepted"),
        (
            "http://{address}/mcp",
            "Host: {address}\n",
            "HTTP/1.1 202 Accepted",
        ),
        (
            "http://evil.example/mcp",
            "Host: {address}\n",
            "HTTP/1.1 403 Forbidden",
        ),
        ("/mcp", "", "HTTP/1.1 403 Forbidden"),
        (
            "/mcp",
            "Host: {address}\nHost: {address}\n",
            "HTTP/1.1 403 Forbidden",
        ),
    ] {
        assert_eq!(
            raw(&place, &post(target, host), body).await,
            status,
            "{target} {host}"
        );
    }
    // Whoever is turned away with much still to send hears why all the same.
    let large = "x".repeat(5 * 1024 * 1024);
    let evil = raw(&place, "POST /mcp HTTP/1.1\nHost: evil.example", &large).await;
    assert_eq!(evil, "HTTP/1.1 403 Forbidden");
    let unknown = raw(&place, "POST /mcp HTTP/1.1\nHost: {address}", &large).await;
    assert_eq!(unknown, "HTTP/1.1 401 Unauthorized");
    let known = raw(&place, &post("/mcp", "Host: {address}\n"), &large).await;
    assert_eq!(known, "HTTP/1.1 413 Payload Too Large");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_names_its_limit() {
    let place = Place::with("limits: { requestBody: 64KiB }\n").await;
    let client = place.client("");
    let echo = |bytes: usize| client.call("modern__echo", json!({"text": "x".repeat(bytes)}));
    let said = echo(64 * 1024).await;
    assert_eq!(said.status, 413);
    assert_eq!(said.json()["error"]["data"]["kind"], "REQUEST_TOO_LARGE");
    assert!(said.body.contains("`limits.requestBody`"), "{}", said.body);
    assert_eq!(echo(60 * 1024).await.status, 200);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_and_calls_what_one_may() {
    let place = Place::open().await;
    let token = place.token("narrow", &["call:tools/modern/echo"]).await;
    let client = place.client_with("", &token);
    assert_eq!(client.names().await, ["modern__echo"]);
    let listed = client.ask("tools/list", json!({})).await.json();
    assert_eq!(
        listed["result"]["_meta"].get("weftbus/unavailable"),
        None,
        "of others he hears nothing"
    );
    assert_eq!(
        client
            .call("modern__echo", json!({"text": "a"}))
            .await
            .status,
        200
    );
    for tool in ["modern__fail", "legacy__echo"] {
        let said = client.call(tool, json!({"text": "a"})).await;
        assert_eq!(
            (said.status, said.code()),
            (403, -31004),
            "{tool}: {}",
            said.body
        );
        assert!(
            said.header("www-authenticate")
                .contains("insufficient_scope")
        );
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_revoked_a_second_ago_is_refused() {
    let place = Place::open().await;
    let token = place.token("shortly", &["call:tools/*"]).await;
    let (client, other) = (place.client_with("", &token), place.client(""));
    let call = || client.call("modern__echo", json!({"text": "a"}));
    assert_eq!(call().await.status, 200);
    let caller = place.stage.caller().await;
    let gone: serde_json::Value = caller
        .control("token_revoke", json!({"name": "shortly"}))
        .await
        .expect("revoked");
    assert_eq!(gone["tokens"].as_array().map(Vec::len), Some(1));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let said = call().await;
    assert_eq!(said.status, 401);
    assert_eq!(said.json()["error"]["data"]["kind"], "TOKEN_REVOKED");
    assert_eq!(
        other
            .call("modern__echo", json!({"text": "a"}))
            .await
            .status,
        200,
        "another's holds"
    );
    caller.close().await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_life_needs_no_token() {
    let place = Place::open().await;
    let root = place.url().replace("/mcp", "");
    let http = reqwest::Client::new();
    for path in ["/livez", "/readyz"] {
        let said = read(http.get(format!("{root}{path}"))).await;
        assert_eq!((said.status, said.body.as_str()), (200, "ok\n"), "{path}");
    }
    assert_eq!(read(http.get(format!("{root}/mcp"))).await.status, 401);
    assert_eq!(read(http.get(format!("{root}/nowhere"))).await.status, 404);
    place.end().await;
}

/// An answer without an end, and who is told when nobody is sent any more of it.
fn endless() -> (axum::body::Body, tokio::sync::oneshot::Receiver<()>) {
    let (kept, dropped) = tokio::sync::oneshot::channel::<()>();
    let part = futures_util::stream::unfold(kept, async |kept| {
        let part = bytes::Bytes::from_static(&[b'x'; 64 * 1024]);
        Some((Ok::<_, std::io::Error>(part), kept))
    });
    (axum::body::Body::from_stream(part), dropped)
}

/// Who takes nothing of an answer is let go, with what waits for him; who takes a little is not.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let stall = Duration::from_secs(1);
    let mut options = http::Options::new(([127, 0, 0, 1], 0).into());
    options.stall_time = stall;
    let bound = http::Bound::bind(options).await.expect("a port");
    let address = bound.address;
    let (ended, mut ends) = tokio::sync::mpsc::channel(2);
    let answer = axum::routing::get(move || {
        let (body, dropped) = endless();
        ended.try_send(dropped).expect("two at most");
        std::future::ready(body)
    });
    let tasks = Tasks::new();
    let _listening = bound.serve(axum::Router::new().route("/", answer), &tasks);
    let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut open = async || {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.readable().await.expect("it answers");
        (stream, ends.recv().await.expect("it is answered"))
    };
    let (silent, mut cut) = open().await;
    let (mut slow, mut kept) = open().await;
    let mut part = vec![0; 64 * 1024];
    let reading = async {
        loop {
            slow.read_exact(&mut part).await.expect("it goes on");
            sleep(stall / 20).await;
        }
    };
    tokio::select! {
        gone = timeout(PATIENCE, &mut cut) => assert!(gone.expect("let go").is_err()),
        never = reading => match never {},
    }
    assert!(
        kept.try_recv().is_err_and(|why| why == TryRecvError::Empty),
        "its twin reads"
    );
    drop(silent);
    tasks.stop(stall).await;
}
