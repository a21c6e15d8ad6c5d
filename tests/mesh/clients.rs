//! Real MCP clients, each in each of its modes, against a whole mesh: through `/mcp`, through
//! `/mcp/{server}` and over stdio. The programs are in `tests/real/clients/`.

mod driver;
mod inspector;

use std::{ffi::OsString, path::Path, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::driver::{CLIENTS, Client, Driver, Target};
use crate::{
    process::{until, weft},
    stage::{Stage, example, fixture, real, servers},
};

/// What a cancellation may take to reach the server.
const SOON: Duration = Duration::from_secs(5);
/// The most that a client accepts in one event of a stream is 1 MiB: this is more.
const BIG_MEGABYTES: usize = 2;

/// A mesh with a server of each era: the reference server, and one that notes when it is cancelled.
fn stage() -> Stage {
    let modern = fixture("modern.py");
    Stage::new(&servers(&[
        (
            "everything",
            &real("server-everything"),
            &["stdio".as_ref()],
        ),
        ("modern", &real("python"), &[modern.as_os_str()]),
    ]))
}

/// The gateway of the mesh on this stage: all servers, or one.
pub(crate) fn endpoint(stage: &Stage, server: Option<&str>) -> (String, String) {
    let context = stage.context().expect("a mesh runs here");
    let url = context["gatewayUrl"].as_str().expect("a gateway");
    let file = context["tokenFile"].as_str().expect("a token file");
    let token = std::fs::read_to_string(file).expect("a token");
    let url = server.map_or_else(|| url.to_owned(), |server| format!("{url}/{server}"));
    (url, token.trim().to_owned())
}

fn http(stage: &Stage, server: Option<&str>) -> Target {
    let (url, token) = endpoint(stage, server);
    let token = Some(token);
    Target::Http { url, token }
}

fn stdio(stage: &Stage, server: Option<&str>) -> Target {
    let mut words: Vec<OsString> = vec![weft().into(), "mcp".into()];
    words.extend(["--data".into(), stage.path().join("data").into()]);
    words.extend(
        server
            .into_iter()
            .flat_map(|name| ["--server".into(), name.into()]),
    );
    Target::Stdio(words)
}

/// Lists, calls, sees progress, cancels; `prefix` is what the gateway puts before a tool's name.
async fn every_step(client: &Client, target: &Target, folder: &Path, prefix: [&str; 2]) {
    let [everything, modern] = prefix;
    let mut driver = Driver::open(client, target, folder).await;
    let name = client.name();
    let tools = driver.list().await;
    let (echo, long) = (
        format!("{everything}echo"),
        format!("{everything}trigger-long-running-operation"),
    );
    let slow = format!("{modern}slow");
    for tool in [&echo, &long, &slow] {
        assert!(tools.contains(tool), "{name}: {tool} in {tools:?}");
    }
    calls(&mut driver, &name, everything).await;
    cancels(&mut driver, &name, modern, folder).await;
    driver.close().await;
}

/// What every client does with `server-everything`.
async fn calls(driver: &mut Driver, name: &str, prefix: &str) {
    let tool = |tool: &str| format!("{prefix}{tool}");
    let answer = driver
        .call(&tool("echo"), json!({"message": "hello"}))
        .await;
    assert_eq!(answer["text"], "Echo: hello", "{name}");
    let answer = driver.call(&tool("echo"), json!({})).await;
    assert!(failed(&answer), "{name}: {answer}");
    let answer = driver.call(&tool("no-such-tool"), json!({})).await;
    assert!(failed(&answer), "{name}: {answer}");

    let long = tool("trigger-long-running-operation");
    let (told, answer) = driver
        .progress(&long, json!({"duration": 0.6, "steps": 3}))
        .await;
    // This SDK loses a progress that it reads together with the answer, as it may on a pipe.
    let may_miss = name.starts_with("typescript");
    assert!(
        told == [1.0, 2.0, 3.0] || (may_miss && told == [1.0, 2.0]),
        "{name}: {told:?}"
    );
    let text = answer["text"].as_str().unwrap_or_default();
    assert!(text.contains("Steps: 3"), "{name}: {answer}");
}

/// What every client does with a server that says what became of a call.
async fn cancels(driver: &mut Driver, name: &str, prefix: &str, folder: &Path) {
    let mark = folder.join(format!("{name}.mark"));
    let arguments = json!({"seconds": 60, "mark": mark});
    let ended = driver.cancel(&format!("{prefix}slow"), arguments).await;
    assert_eq!(ended["cancelled"], true, "{name}: {ended}");
    let says = |word: &str| {
        let text = std::fs::read_to_string(&mark).unwrap_or_default();
        text.lines().any(|line| line == word)
    };
    until(SOON, "the server was cancelled", || says("cancelled")).await;

    let big = json!({"megabytes": BIG_MEGABYTES});
    let answer = driver.call(&format!("{prefix}big"), big).await;
    let size = answer["text"].as_str().map(str::len);
    assert_eq!(size, Some(BIG_MEGABYTES * 1_000_000), "{name}");
}

fn failed(answer: &Value) -> bool {
    answer["isError"] == true || answer.get("error").is_some()
}

/// A folder of its own for a client's marks and complaints.
fn folder(stage: &Stage, name: &str) -> std::path::PathBuf {
    let folder = stage.path().join(name);
    std::fs::create_dir_all(&folder).expect("the folder is ours");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_over_http() {
    let stage = stage();
    let mesh = stage.up().await;
    let (target, folder) = (http(&stage, None), folder(&stage, "all"));
    let prefix = ["everything__", "modern__"];
    join_all(
        CLIENTS
            .iter()
            .map(|client| every_step(client, &target, &folder, prefix)),
    )
    .await;
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_over_http() {
    let stage = stage();
    let mesh = stage.up().await;
    let (everything, modern) = (
        http(&stage, Some("everything")),
        http(&stage, Some("modern")),
    );
    let folder = folder(&stage, "one");
    join_all(CLIENTS.iter().map(async |client| {
        let name = client.name();
        let mut driver = Driver::open(client, &everything, &folder).await;
        let tools = driver.list().await;
        assert!(tools.iter().any(|tool| tool == "echo"), "{name}: {tools:?}");
        assert!(
            !tools.iter().any(|tool| tool == "slow"),
            "{name}: {tools:?}"
        );
        calls(&mut driver, &name, "").await;
        driver.close().await;
        let mut driver = Driver::open(client, &modern, &folder).await;
        cancels(&mut driver, &name, "", &folder).await;
        driver.close().await;
    }))
    .await;
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_stdio() {
    let stage = stage();
    let mesh = stage.up().await;
    let (all, one) = (stdio(&stage, None), stdio(&stage, Some("everything")));
    let folder = folder(&stage, "stdio");
    let prefix = ["everything__", "modern__"];
    join_all(CLIENTS.iter().map(async |client| {
        every_step(client, &all, &folder, prefix).await;
        let mut driver = Driver::open(client, &one, &folder).await;
        calls(&mut driver, &client.name(), "").await;
        driver.close().await;
    }))
    .await;
    mesh.stop().await;
}

/// A tool that a server adds shows in the open sessions of each era.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_heard() {
    let stage = stage();
    let mesh = stage.up().await;
    let folder = folder(&stage, "watch");
    let targets = [
        (http(&stage, None), "modern__extra_1"),
        (http(&stage, Some("modern")), "extra_1"),
        (stdio(&stage, None), "modern__extra_1"),
    ];
    let mut watchers = Vec::new();
    for (target, tool) in &targets {
        let opening = CLIENTS.iter().map(async |client| {
            let mut driver = Driver::open(client, target, &folder).await;
            let before = driver.list().await;
            assert!(!before.iter().any(|name| name == tool), "{before:?}");
            driver.watch().await;
            (driver, *tool)
        });
        watchers.extend(join_all(opening).await);
    }
    let caller = stage.caller().await;
    caller
        .call_tool("modern", "grow", json!({}))
        .await
        .expect("an answer");
    join_all(watchers.into_iter().map(async |(mut driver, tool)| {
        // Other changes may come first: a list is read again as a whole.
        while !driver.changed().await.iter().any(|name| name == tool) {}
        driver.close().await;
    }))
    .await;
    caller.close().await;
    mesh.stop().await;
}

/// A server that is written into `weft.yaml`, and taken out again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_and_goes() {
    let stage = stage();
    let mesh = stage.up().await;
    let (target, folder) = (http(&stage, None), folder(&stage, "reload"));
    let mut watchers = join_all(CLIENTS.iter().map(async |client| {
        let mut driver = Driver::open(client, &target, &folder).await;
        driver.watch().await;
        driver
    }))
    .await;
    let file = stage.path().join("weft.yaml");
    let before = std::fs::read_to_string(&file).expect("it is ours");
    let program = example("weft-example-charts");
    let late = servers(&[("late", &program, &[])]).replace("servers:\n", "");
    for (yaml, there) in [(before.clone() + &late, true), (before, false)] {
        std::fs::write(&file, yaml).expect("it is ours");
        join_all(watchers.iter_mut().map(async |driver| {
            let is_late = |name: &String| name.starts_with("late__");
            while driver.changed().await.iter().any(is_late) != there {}
        }))
        .await;
    }
    join_all(watchers.into_iter().map(Driver::close)).await;
    mesh.stop().await;
}

/// The twin of all others, which hold the token.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_no_client_gets_in() {
    let stage = stage();
    let mesh = stage.up().await;
    let folder = folder(&stage, "refused");
    let (url, _) = endpoint(&stage, None);
    for token in [None, Some("not-a-token".to_owned())] {
        let target = Target::Http {
            url: url.clone(),
            token,
        };
        join_all(CLIENTS.iter().map(async |client| {
            let mut driver = Driver::start(client, &target, &folder);
            let good = refused(&mut driver, client).await;
            assert!(good, "{}: {}", client.name(), driver.complaints());
        }))
        .await;
    }
    mesh.stop().await;
}

/// Whether the session does not open, or its first request fails (a mode that asks nothing first).
async fn refused(driver: &mut Driver, client: &Client) -> bool {
    if client.name().ends_with("2026-07-28") {
        return failed(
            &driver
                .call("everything__echo", json!({"message": "hello"}))
                .await,
        );
    }
    !driver.ended().await
}
