//! Open sessions hear what the configuration, or a server itself, changed. On a machine with
//! nothing else to do that takes less than two seconds; each test prints how long it took.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{Client, Place};
use crate::stage::{PATIENCE, example};

/// The messages of a stream that has no end, as they come.
struct Stream {
    response: reqwest::Response,
    held: String,
}

impl Stream {
    /// The stream that an open client of its era listens to.
    async fn open(client: &Client) -> Self {
        let request = if let Some(session) = &client.session {
            client
                .http
                .get(&client.url)
                .bearer_auth(&client.token)
                .header("accept", "text/event-stream")
                .header("mcp-session-id", session)
        } else {
            let listen = json!({"notifications": {"toolsListChanged": true}});
            client.post(&client.request("subscriptions/listen", listen))
        };
        let response = request.send().await.expect("a stream");
        assert_eq!(response.status(), 200);
        let mut stream = Self {
            response,
            held: String::new(),
        };
        if client.session.is_none() {
            let first = stream.next().await;
            assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        }
        stream
    }

    async fn next(&mut self) -> serde_json::Value {
        loop {
            if let Some((event, rest)) = self.held.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let found = data.map(|data| serde_json::from_str(data).expect("JSON"));
                self.held = rest.to_owned();
                match found {
                    Some(message) => return message,
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await.expect("it is open");
            let chunk = chunk.expect("it has no end");
            self.held
                .push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn hears_of_a_change(&mut self) {
        let heard = timeout(PATIENCE, self.next()).await.expect("in time");
        assert_eq!(
            heard["method"], "notifications/tools/list_changed",
            "{heard}"
        );
    }
}

/// Waits until the client's list says so, at most [`PATIENCE`] after `since`.
async fn shows(client: &Client, since: Instant, says: impl Fn(&[String]) -> bool) {
    loop {
        let names = client.names().await;
        if says(&names) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "not in time: {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_shows_in_open_sessions_of_each_era() {
    let place = Place::open().await;
    let clients = [
        place.client(""),
        place.client("").opened("2025-11-25").await,
    ];
    let mut streams = [
        Stream::open(&clients[0]).await,
        Stream::open(&clients[1]).await,
    ];
    let file = place.stage.path().join("weft.yaml");
    let before = std::fs::read_to_string(&file).expect("a file");
    let program = example("weft-example-charts");
    let charts = format!("{before}  charts: {{ command: {} }}\n", program.display());
    let tasks = charts.replace("weft-example-charts", "weft-example-tasks");
    let has = |tool: &'static str| move |names: &[String]| names.iter().any(|name| name == tool);
    let not = |tool: &'static str| move |names: &[String]| !names.iter().any(|name| name == tool);
    type Says = Box<dyn Fn(&[String]) -> bool>;
    let steps: [(&str, &str, Says); 3] = [
        ("added", &charts, Box::new(has("charts__generate_chart"))),
        ("changed", &tasks, Box::new(has("charts__parse_prd"))),
        ("removed", &before, Box::new(not("charts__parse_prd"))),
    ];
    for (what, text, says) in steps {
        std::fs::write(&file, text).expect("the folder is ours");
        let since = Instant::now();
        for (client, stream) in clients.iter().zip(&mut streams) {
            stream.hears_of_a_change().await;
            shows(client, since, &says).await;
        }
        eprintln!("{what}: {:?}", since.elapsed());
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_refused_leaves_everything_as_it_is() {
    let place = Place::open().await;
    let client = place.client("");
    let before = client.names().await;
    let file = place.stage.path().join("weft.yaml");
    let good = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, "serverss: {}\n").expect("the folder is ours");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.names().await, before);
    assert_eq!(
        client
            .call("modern__echo", json!({"text": "a"}))
            .await
            .status,
        200
    );
    // The twin: a file that is taken changes something.
    let fewer: String = good
        .lines()
        .filter(|line| !line.contains("legacy"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&file, fewer).expect("the folder is ours");
    let since = Instant::now();
    shows(&client, since, |names| {
        !names.iter().any(|name| name.starts_with("legacy"))
    })
    .await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_of_itself_is_passed_on_to_who_sees_it() {
    let place = Place::open().await;
    let narrow = place.token("narrow", &["call:tools/modern/*"]).await;
    let clients = [
        place.client(""),
        place.client("/legacy"),
        place.client("/legacy").opened("2025-06-18").await,
    ];
    let mut streams = Vec::new();
    for client in &clients {
        streams.push(Stream::open(client).await);
    }
    let mut deaf = Stream::open(&place.client_with("", &narrow)).await;
    let grown = place.client("").call("legacy__grow", json!({})).await;
    assert_eq!(grown.status, 200, "{}", grown.body);
    let since = Instant::now();
    for (client, stream) in clients.iter().zip(&mut streams) {
        stream.hears_of_a_change().await;
        shows(client, since, |names| {
            names.iter().any(|name| name.ends_with("extra_1"))
        })
        .await;
    }
    let nothing = timeout(Duration::from_millis(500), deaf.next()).await;
    assert!(
        nothing.is_err(),
        "who may not see it hears nothing: {nothing:?}"
    );
    place.end().await;
}

/// What changes between the opening of a session and its stream is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_came_before_the_stream_is_told_on_it() {
    let place = Place::open().await;
    let client = place.client("/legacy").opened("2025-11-25").await;
    assert_eq!(client.call("grow", json!({})).await.status, 200);
    let since = Instant::now();
    let other = place.client("/legacy");
    shows(&other, since, |names| {
        names.iter().any(|name| name == "extra_1")
    })
    .await;
    // `/mcp` knows it when the gateway's own list does.
    shows(&place.client(""), since, |names| {
        names.iter().any(|name| name == "legacy__extra_1")
    })
    .await;
    Stream::open(&client).await.hears_of_a_change().await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let place = Place::open().await;
    let token = place.token("shortly", &["call:tools/*"]).await;
    let mut stream = Stream::open(&place.client_with("", &token)).await;
    let mut other = Stream::open(&place.client("")).await;
    let caller = place.stage.caller().await;
    let _gone: serde_json::Value = caller
        .control("token_revoke", json!({"name": "shortly"}))
        .await
        .expect("revoked");
    let end = timeout(Duration::from_secs(3), async {
        while let Ok(Some(_)) = stream.response.chunk().await {}
    });
    end.await.expect("it ends");
    let goes_on = timeout(Duration::from_millis(500), other.next()).await;
    assert!(goes_on.is_err(), "another's goes on: {goes_on:?}");
    caller.close().await;
    place.end().await;
}
